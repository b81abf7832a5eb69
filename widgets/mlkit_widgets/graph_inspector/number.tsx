/** One number: a tensor's plane to point at, its index to type, and the arithmetic that made it, to be followed back. */
import { type KeyboardEvent, type PointerEvent, useEffect, useId, useRef, useState } from "react";
import { count, number } from "../../shared/format";
import { type Graph, shapeText } from "../../shared/graph";
import { type Explanation, type Kernel, type Line, type Plane, useExplanation, usePlane, type Which } from "./kernel";

export interface Traced {
  value: string;
  index: number[];
}

// From nothing to much, and either side of zero: the same colours as in the tensors' own pictures.
const SEQUENTIAL = ["#0b1840", "#1d3a78", "#215f8f", "#23869a", "#3caa91", "#7fc97c", "#d0e36b", "#fdf7a8"];
const DIVERGING = ["#0b3c6f", "#2171b5", "#6baed6", "#c6dcee", "#f4f3f1", "#fbd3b4", "#f0904f", "#cc4c02", "#7a2b02"];

const rgb = (hex: string) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
const TABLES = [SEQUENTIAL, DIVERGING].map((anchors) => anchors.map(rgb));

/** The colour of a number on a plane's scale. */
export function shade(value: number, low: number, high: number): [number, number, number] {
  if (!Number.isFinite(value)) return [224, 0, 138];
  const signed = low < 0;
  const reach = Math.max(-low, high) || 1;
  const t = signed ? (value + reach) / (2 * reach) : high > low ? (value - low) / (high - low) : 0.5;
  const table = TABLES[signed ? 1 : 0]!;
  const at = Math.min(0.9999, Math.max(0, t)) * (table.length - 1);
  const k = Math.floor(at);
  return table[k]!.map((from, i) => Math.round(from + (table[k + 1]![i]! - from) * (at - k))) as [
    number,
    number,
    number,
  ];
}

const asNumber = (value: number | string | null | undefined): string =>
  typeof value === "string" ? value.replace("inf", "∞") : value === null || value === undefined ? "NaN" : number(value);

/** Items whose place is what they are: keys for lists that never change their order. */
export const keyed = <T,>(items: readonly T[]): { key: string; item: T; place: number }[] =>
  items.map((item, place) => ({ key: `at ${place}`, item, place }));

const places = (index: number[]): string => `[${index.join(", ")}]`;

/** "1, 0, 3" as an index of that shape, or what is wrong with it. */
export function readIndex(words: string, shape: (number | string)[]): number[] | string {
  const parts = words.replace(/[[\]()]/g, "").trim();
  const found = parts === "" ? [] : parts.split(/[\s,]+/).filter(Boolean);
  if (found.some((part) => !/^-?\d+$/.test(part))) return "An index is made of whole numbers, such as 0, 3, 2.";
  if (found.length !== shape.length) {
    return `This tensor has ${shape.length} ${shape.length === 1 ? "axis" : "axes"}, the index has ${found.length}.`;
  }
  const index = found.map(Number);
  for (const [axis, place] of index.entries()) {
    const size = Number(shape[axis]);
    if (place < -size || place >= size) return `${place} is outside axis ${axis}, which has ${size} places.`;
    index[axis] = place < 0 ? place + size : place;
  }
  return index;
}

interface PlaneProps {
  plane: Plane;
  /** Which number is chosen, in the last two axes. */
  cell?: [number, number] | null;
  small?: boolean;
  /** What to outline: rows and columns from, to. */
  box?: [[number, number], [number, number]] | null;
  label: string;
  pick?(row: number, column: number): void;
}

const WIDE = 300;

function PlaneView({ plane, cell, box, label, pick, small }: PlaneProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [over, setOver] = useState<[number, number] | null>(null);
  const [sr, sc] = plane.step;
  const rows = Math.ceil(plane.rows / sr);
  const columns = Math.ceil(plane.columns / sc);
  const scale = Math.max(1, Math.min(24, Math.floor(WIDE / columns), Math.floor((small ? 130 : 220) / rows)) || 1);
  const high = rows === 1 ? Math.max(22, scale) : scale;
  const width = columns * scale;
  const height = rows * high;
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const image = context.createImageData(columns, rows);
    for (let i = 0; i < rows * columns; i++) {
      const [r, g, b] = shade(plane.data[i]!, plane.low, plane.high);
      image.data.set([r, g, b, 255], 4 * i);
    }
    context.putImageData(image, 0, 0);
  }, [plane, rows, columns]);
  const at = (event: PointerEvent): [number, number] => {
    const area = event.currentTarget.getBoundingClientRect();
    const row = Math.floor(((event.clientY - area.top) / area.height) * rows);
    const column = Math.floor(((event.clientX - area.left) / area.width) * columns);
    const inside = (place: number, size: number) => Math.min(size - 1, Math.max(0, place));
    return [inside(row, rows) * sr, inside(column, columns) * sc];
  };
  const onKey = (event: KeyboardEvent) => {
    const by = { ArrowLeft: [0, -sc], ArrowRight: [0, sc], ArrowUp: [-sr, 0], ArrowDown: [sr, 0] }[event.key];
    if (!by || !pick) return;
    event.preventDefault();
    event.stopPropagation();
    const [row, column] = cell ?? [0, 0];
    pick(
      Math.min(plane.rows - 1, Math.max(0, row + by[0]!)),
      Math.min(plane.columns - 1, Math.max(0, column + by[1]!)),
    );
  };
  const shown = over ?? cell ?? null;
  const value = shown ? plane.data[Math.floor(shown[0] / sr) * columns + Math.floor(shown[1] / sc)] : undefined;
  const name = (row: number, column: number) => {
    const own = plane.shape.length === 0 ? [] : plane.shape.length === 1 ? [column] : [...plane.lead, row, column];
    return places(own);
  };
  return (
    <figure className="plane">
      {/* biome-ignore lint/a11y: a grid of numbers with arrow keys; the index field beside it does the same in words */}
      <div
        className="pixels"
        role={pick ? "application" : "img"}
        aria-label={label}
        tabIndex={pick ? 0 : undefined}
        style={{ width, height }}
        onPointerMove={(event) => setOver(at(event))}
        onPointerLeave={() => setOver(null)}
        onClick={(event) => pick?.(...at(event as unknown as PointerEvent))}
        onKeyDown={onKey}
      >
        <canvas ref={canvas} width={columns} height={rows} style={{ width, height }} />
        <svg width={width} height={height} aria-hidden="true">
          {box ? (
            <g className="patch">
              <rect
                x={(box[1][0] / sc) * scale}
                y={(box[0][0] / sr) * high}
                width={Math.max(3, ((box[1][1] - box[1][0]) / sc) * scale)}
                height={Math.max(3, ((box[0][1] - box[0][0]) / sr) * high)}
              />
            </g>
          ) : null}
          {cell ? (
            <g className="cell">
              <rect
                x={Math.floor(cell[1] / sc) * scale}
                y={Math.floor(cell[0] / sr) * high}
                width={scale}
                height={high}
              />
            </g>
          ) : null}
        </svg>
      </div>
      <figcaption className="quiet">
        {shown
          ? `${name(...shown)} = ${value === undefined ? "" : number(value)}`
          : `${number(plane.low)} to ${number(plane.high)}`}
        {sr > 1 || sc > 1
          ? ` (every ${sr > 1 ? `${sr}. row` : ""}${sr > 1 && sc > 1 ? ", " : ""}${sc > 1 ? `${sc}. column` : ""})`
          : ""}
      </figcaption>
    </figure>
  );
}

export interface PickerProps {
  graph: Graph;
  kernel: Kernel;
  value: string;
  which: Which;
  traced: Traced | null;
  small?: boolean;
  pick(index: number[]): void;
}

/** The tensor's numbers to point at: its last two axes, at places of the others that can be changed. */
export function Picker({ graph, kernel, value, which, traced, small, pick }: PickerProps) {
  const shape = graph.values.get(value)?.shape ?? [];
  const own = traced?.value === value ? traced.index : null;
  const rank = Math.max(0, shape.length - 2);
  const [lead, setLead] = useState<number[]>(() => own?.slice(0, rank) ?? new Array(rank).fill(0));
  const [typed, setTyped] = useState(own ? own.join(", ") : "");
  const [wrong, setWrong] = useState("");
  const id = useId();
  const key = own?.join(",") ?? "";
  // biome-ignore lint/correctness/useExhaustiveDependencies: another number was chosen elsewhere
  useEffect(() => {
    if (!own) return;
    setLead(own.slice(0, rank));
    setTyped(own.join(", "));
    setWrong("");
  }, [key, value]);
  const { answer: plane } = usePlane(kernel, value, which, lead);
  const last = useRef<Plane | null>(null);
  if (plane) last.current = plane;
  const drawn = plane ?? last.current;
  const choose = (row: number, column: number) =>
    pick(shape.length === 0 ? [] : shape.length === 1 ? [column] : [...lead, row, column]);
  const submit = () => {
    const found = readIndex(typed, shape);
    if (typeof found === "string") setWrong(found);
    else {
      setWrong("");
      pick(found);
    }
  };
  const sameLead = own && own.slice(0, rank).join() === lead.join();
  const cell: [number, number] | null =
    own && sameLead ? (shape.length < 2 ? [0, own[0] ?? 0] : [own[rank]!, own[rank + 1]!]) : null;
  return (
    <section className="picker" aria-label="One number">
      {small ? null : <div className="subtitle">One number</div>}
      <div className="leads">
        {keyed(lead).map(({ key, item: place, place: axis }) => (
          <label key={key}>
            <span className="quiet">axis {axis}</span>
            <input
              type="number"
              min={0}
              max={Number(shape[axis]) - 1}
              value={place}
              onChange={(event) => {
                const to = Math.min(Number(shape[axis]) - 1, Math.max(0, Number(event.target.value) || 0));
                setLead(lead.map((other, k) => (k === axis ? to : other)));
              }}
            />
          </label>
        ))}
      </div>
      {drawn ? (
        <PlaneView
          plane={drawn}
          small={small}
          cell={cell}
          label={`Numbers of the last two axes, ${drawn.rows} by ${drawn.columns}; click one, or move with the arrow keys`}
          pick={choose}
        />
      ) : null}
      <form
        className="index"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <label htmlFor={id}>Index</label>
        <input
          id={id}
          type="text"
          value={typed}
          placeholder={shape.map(() => "0").join(", ") || "this tensor is one number"}
          aria-invalid={wrong !== ""}
          aria-describedby={wrong ? `${id}w` : undefined}
          onChange={(event) => setTyped(event.target.value)}
        />
        <button type="submit">Explain</button>
      </form>
      {wrong ? (
        <p id={`${id}w`} className="wrong" role="alert">
          {wrong}
        </p>
      ) : null}
    </section>
  );
}

export interface ExplainedProps {
  graph: Graph;
  kernel: Kernel;
  trace: Traced[];
  setTrace(trace: Traced[]): void;
}

/** The arithmetic of the number that is followed, with every number in it a way further back. */
export function Explained({ graph, kernel, trace, setTrace }: ExplainedProps) {
  const now = trace.at(-1)!;
  const { answer, late } = useExplanation(kernel, now.value, now.index);
  const found = answer?.found;
  const follow = (value: string, index: number[]) => setTrace([...trace, { value, index }]);
  return (
    <section
      className="explained"
      aria-label="How it came about"
      data-ready={answer !== null}
      data-total={found ? String(found.total) : undefined}
    >
      {found ? (
        <Arithmetic graph={graph} kernel={kernel} found={found} follow={follow} />
      ) : (
        <p className="quiet">{answer?.missing ?? (late || "Asking the kernel")}</p>
      )}
    </section>
  );
}

function Arithmetic({
  graph,
  kernel,
  found,
  follow,
}: {
  graph: Graph;
  kernel: Kernel;
  found: Explanation;
  follow(value: string, index: number[]): void;
}) {
  const { terms } = found;
  const rest = terms ? terms.count - terms.lines.length : 0;
  const more = () =>
    kernel.channel.send({
      kind: "explain",
      value: found.value,
      index: found.index,
      most: (terms?.lines.length ?? 0) + 100,
    });
  const activations = Object.entries(found.regions)
    .filter(([id]) => graph.values.has(id))
    .slice(0, 3);
  return (
    <>
      <p className="claim">
        {found.title} = <b>{asNumber(found.number)}</b>
      </p>
      {found.formula ? <p className="formula">{found.formula}</p> : null}
      <ol className="lines">
        {keyed(found.before).map(({ key, item: line }) => (
          <Row key={`before ${key}`} line={line} follow={follow} />
        ))}
        {keyed(terms?.lines ?? []).map(({ key, item: line }) => (
          <Row key={`term ${key}`} line={line} follow={follow} term={found.exact ? "equals" : "slope"} />
        ))}
        {rest > 0 ? (
          <li className="rest">
            <button type="button" className="link" onClick={more}>
              and {count(rest)} more
            </button>
            {terms?.rest !== null ? <span className="result">= {asNumber(terms?.rest)}</span> : null}
          </li>
        ) : null}
        {terms && found.exact ? (
          <li className="sum">
            <span>
              {terms.combine} of {count(terms.count)}
            </span>
            <span className="result">= {asNumber(terms.total)}</span>
          </li>
        ) : null}
        {keyed(found.after).map(({ key, item: line }) => (
          <Row key={`after ${key}`} line={line} follow={follow} />
        ))}
        {found.exact ? (
          <li className="total">
            <span>altogether</span>
            <span className="result">= {asNumber(found.total)}</span>
          </li>
        ) : null}
      </ol>
      {found.note ? <p className="quiet">{found.note}</p> : null}
      {activations.length ? <div className="subtitle">Made from</div> : null}
      {activations.map(([id, box]) => (
        <Patch key={id} graph={graph} kernel={kernel} id={id} box={box} follow={follow} />
      ))}
    </>
  );
}

function Row({
  line,
  follow,
  term,
}: {
  line: Line;
  follow(value: string, index: number[]): void;
  term?: "equals" | "slope";
}) {
  return (
    <li className={term ? "term" : "step"}>
      <span className="text">{line.text.replaceAll(" * ", " × ")}</span>
      {term === "slope" ? null : <span className="result">= {asNumber(line.number)}</span>}
      {line.cells.some((cell) => cell.value) ? (
        <span className="cells">
          {line.cells
            .filter((cell) => cell.value)
            .map((cell) => (
              <button
                key={`${cell.name} ${cell.index.join()}`}
                type="button"
                className="link"
                title="Where does this number come from?"
                onClick={() => follow(cell.value!, cell.index)}
              >
                {cell.name}
              </button>
            ))}
        </span>
      ) : null}
    </li>
  );
}

/** A tensor that took part, with the patch outlined from which the number was made. */
function Patch({
  graph,
  kernel,
  id,
  box,
  follow,
}: {
  graph: Graph;
  kernel: Kernel;
  id: string;
  box: [number, number][];
  follow(value: string, index: number[]): void;
}) {
  const value = graph.values.get(id)!;
  const rank = Math.max(0, box.length - 2);
  const lead = box.slice(0, rank).map(([low]) => low);
  const { answer: plane } = usePlane(kernel, id, "value", lead);
  if (!plane) return null;
  const [rows, columns]: [[number, number], [number, number]] =
    box.length === 0
      ? [
          [0, 1],
          [0, 1],
        ]
      : box.length === 1
        ? [[0, 1], box[0]!]
        : [box[rank]!, box[rank + 1]!];
  const name = value.name || graph.producer.get(id)?.op || value.kind;
  const range = box.map(([low, high]) => (high - low === 1 ? String(low) : `${low}:${high}`)).join(", ");
  return (
    <div className="made-from">
      <span>
        {name} <span className="quiet">{shapeText(value.shape)}</span> <code>[{range}]</code>
      </span>
      <PlaneView
        plane={plane}
        small
        box={[rows, columns]}
        label={`${name}, with the patch ${range} outlined; click a number to follow it`}
        pick={(row, column) => follow(id, box.length === 0 ? [] : box.length === 1 ? [column] : [...lead, row, column])}
      />
    </div>
  );
}
