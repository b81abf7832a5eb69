/** The canvas: blocks, links with shapes on them, notes; React Flow moves and draws, Python decides. */
import {
  applyEdgeChanges,
  applyNodeChanges,
  Background,
  BaseEdge,
  type Edge,
  type EdgeProps,
  getBezierPath,
  Handle,
  MiniMap,
  type Node,
  type NodeProps,
  type OnConnectEnd,
  Position,
  ReactFlow,
  type ReactFlowInstance,
  SelectionMode,
  useStore,
  useStoreApi,
} from "@xyflow/react";
import {
  createContext,
  type DragEvent,
  memo,
  type RefObject,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { number } from "../../shared/format";
import type { Theme } from "../../shared/theme";
import { type Answer, type Block, type Editor, type Health, type Problem, settings, shapeText, short } from "./editor";
import { KIND } from "./palette";

export interface Place {
  editor: Editor;
  graph: string;
  run(answer: Promise<Answer>): void;
  enter(block: Block): void;
}

export const Here = createContext<Place>(null!);

interface BlockData extends Record<string, unknown> {
  block: Block;
  kind: string;
  group: string;
  inputs: string[];
  optional: string[];
  outputs: string[];
  problem: Problem | null;
  parameters: number;
}

type BlockNodeType = Node<BlockData, "block">;
type NoteNodeType = Node<{ text: string; number: number }, "note">;
type AnyNode = BlockNodeType | NoteNodeType;
type ShapeEdgeType = Edge<{ label: string; problem: Problem | null }, "shape">;

export const WIDTH = 200;
/** Seen from further away than this, letters cannot be read and are left out: a large model then moves smoothly. */
const FAR = 0.3;
/** And from further away than this not even the names of blocks can be told from dots. */
const WORDLESS = 0.12;

const FAMILIES: Record<string, string> = {
  Inputs: "io",
  Linear: "weights",
  Convolution: "weights",
  Recurrent: "weights",
  Embedding: "weights",
  Attention: "weights",
  Transformer: "weights",
  Activations: "shape",
  Functions: "shape",
  Joins: "join",
  Normalization: "norm",
  Dropout: "norm",
};

function Ports({ names, type, quiet }: { names: string[]; type: "source" | "target"; quiet?: string[] }) {
  const all = [...names, ...(quiet ?? [])];
  return all.map((name, i) => (
    <Handle
      key={name}
      id={name}
      type={type}
      position={type === "target" ? Position.Top : Position.Bottom}
      style={{ left: `${((i + 1) / (all.length + 1)) * 100}%` }}
      className={quiet?.includes(name) ? "optional" : ""}
      title={name}
    >
      {all.length > 1 ? <span className="port">{name}</span> : null}
    </Handle>
  ));
}

const CARD = { wide: 196, high: 104, gap: 10, edge: 4 };
const OVERVIEW = { wide: 136, high: 104 };

/**
 * Where the card with a repair is seen whole: beside its block, or under or over it, whatever part of the canvas is in
 * view, and not behind the overview. "below 12" is 12 pixels further to the right than its block.
 */
export function cardPlace(
  block: { x: number; y: number; high: number },
  view: { x: number; y: number; zoom: number; wide: number; high: number },
): string {
  const { wide, high, gap, edge } = CARD;
  const least = (edge - view.x) / view.zoom - block.x;
  const most = (view.wide - edge - view.x) / view.zoom - wide - block.x;
  const shift = Math.round(Math.max(least, Math.min(0, most)));
  const [right, left] = [block.x + WIDTH + gap, block.x - gap - wide];
  const [level, raised] = [block.y - 5, block.y + block.high - high + 5];
  const places: [string, number, number][] = [
    ["right", right, level],
    ["left", left, level],
    ["right raised", right, raised],
    ["left raised", left, raised],
    [`below ${shift}`, block.x + shift, block.y + block.high + gap],
    [`above ${shift}`, block.x + shift, block.y - gap - high],
  ];
  /** 2: seen whole; 1: partly behind the overview; 0: cut off. */
  const seen = (x: number, y: number): number => {
    const [start, top] = [view.x + x * view.zoom, view.y + y * view.zoom];
    const [end, bottom] = [start + wide * view.zoom, top + high * view.zoom];
    if (start < edge - 1 || top < edge || end > view.wide - edge + 1 || bottom > view.high - edge) return 0;
    return end > view.wide - OVERVIEW.wide && bottom > view.high - OVERVIEW.high ? 1 : 2;
  };
  const found = places.map(([, x, y]) => seen(x, y));
  const best = Math.max(...found);
  return places[best ? found.indexOf(best) : 4]![0];
}

function Card({ id, x, y, problem }: { id: string; x: number; y: number; problem: Problem }) {
  const { editor, graph, run } = useContext(Here);
  const place = useStore(({ transform, width, height, nodeLookup }) =>
    cardPlace(
      { x, y, high: nodeLookup.get(id)?.measured.height ?? 54 },
      { x: transform[0], y: transform[1], zoom: transform[2], wide: width, high: height },
    ),
  );
  const [side, shift] = place.split(" ") as [string, string | undefined];
  return (
    <div
      className="problem"
      data-side={side}
      data-raised={shift === "raised" ? "" : undefined}
      style={shift && shift !== "raised" ? { left: `${shift}px` } : undefined}
    >
      <span title={problem.message}>⚠ {problem.message}</span>
      {problem.repairs[0] ? (
        <button
          type="button"
          className="nodrag"
          onClick={() => run(editor.step("repair", graph, { block: problem.block, number: 0 }))}
        >
          {problem.repairs[0]}
        </button>
      ) : null}
    </div>
  );
}

const BlockNode = memo(function BlockNode({
  id,
  data,
  positionAbsoluteX,
  positionAbsoluteY,
}: NodeProps<BlockNodeType>) {
  const { editor, graph, enter } = useContext(Here);
  const { block, problem, parameters, kind } = data;
  const key = `${graph}/${block.name}`;
  const health = useSyncExternalStore(editor.subscribe, () => editor.training.health?.[key]);
  const inner = block.type === "Graph" ? String(block.properties?.graph) : "";
  const times = Number(block.properties?.repeat ?? 1);
  const words = settings(block);
  return (
    <div
      className="block"
      data-family={FAMILIES[data.group] ?? "other"}
      data-kind={kind}
      data-problem={problem && !problem.open ? "" : undefined}
      data-open={problem?.open ? "" : undefined}
      data-repeat={times > 1 ? "" : undefined}
    >
      <Ports names={data.inputs} quiet={data.optional} type="target" />
      <div className="head">
        <b>{inner || block.type}</b>
        {times > 1 ? <span className="times">× {times}</span> : null}
        {block.shared ? (
          <span className="times" title={`shares the weights of ${block.shared}`}>
            = {block.shared}
          </span>
        ) : null}
        {parameters ? <span className="quiet">{short(parameters)}</span> : null}
        {inner ? (
          <button type="button" className="nodrag mini" onClick={() => enter(block)} aria-label={`Open ${inner}`}>
            Open
          </button>
        ) : null}
      </div>
      {health ? (
        <Pulse health={health} />
      ) : (
        <div className="sub quiet">
          <span>{block.name}</span>
          {words ? <span> · {words}</span> : null}
        </div>
      )}
      {block.comment ? <div className="sub quiet">“{block.comment}”</div> : null}
      {problem?.open ? <div className="sub quiet">○ {problem.message}</div> : null}
      {problem && !problem.open ? <Card id={id} x={positionAbsoluteX} y={positionAbsoluteY} problem={problem} /> : null}
      <Ports names={data.outputs} type="source" />
    </div>
  );
});

/** What a block gives just now, as a small histogram, and how large its gradient is. */
function Pulse({ health }: { health: Health }) {
  const { bins = [], mean, std, zeros = 0, gradient, words } = health;
  const said = [
    mean === undefined || mean === null ? "" : `${number(mean, 2)} ± ${number(std, 2)}`,
    zeros > 0.005 ? `${Math.round(100 * zeros)} % zero` : "",
    gradient === undefined ? "" : `grad ${number(gradient, 2)}`,
  ].filter(Boolean);
  return (
    <div className="pulse" data-bad={words ? "" : undefined} title={said.join(" · ")}>
      {bins.length ? (
        <svg viewBox="0 0 48 16" aria-hidden="true">
          {bins.map((share, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a bar is its place
            <rect key={i} x={i * 4} y={16 - 16 * share} width={3} height={16 * share} />
          ))}
        </svg>
      ) : null}
      <span>{words ? `⚠ ${words}` : said.at(-1)}</span>
    </div>
  );
}

const NoteNode = memo(function NoteNode({ data }: NodeProps<NoteNodeType>) {
  const { editor, graph, run } = useContext(Here);
  const [text, setText] = useState(data.text);
  useEffect(() => setText(data.text), [data.text]);
  return (
    <div className="paper">
      <textarea
        className="nodrag nowheel"
        aria-label="Note"
        placeholder="Write a note"
        value={text}
        rows={Math.max(2, Math.ceil(text.length / 26))}
        onChange={(event) => setText(event.target.value)}
        onBlur={() => text !== data.text && run(editor.step("note", graph, { number: data.number, text }))}
        onKeyDown={(event) => {
          event.stopPropagation();
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
    </div>
  );
});

/** A link that passes several rows bows out, so that it does not hide behind the blocks between. */
const ShapeEdge = memo(function ShapeEdge(props: EdgeProps<ShapeEdgeType>) {
  const { id, sourceX, sourceY, targetX, targetY, data, selected } = props;
  let [path, x, y] = getBezierPath(props);
  if (targetY - sourceY > 150 && Math.abs(targetX - sourceX) < 130) {
    const bow = Math.max(sourceX, targetX) + 225;
    path = `M${sourceX} ${sourceY}C${bow} ${sourceY + 40} ${bow} ${targetY - 40} ${targetX} ${targetY}`;
    x = (sourceX + targetX) / 8 + bow * 0.75;
    y = (sourceY + targetY) / 2;
  }
  const problem = data?.problem;
  return (
    <g className="shape" data-problem={problem ? "" : undefined} data-selected={selected ? "" : undefined}>
      <BaseEdge id={id} path={path} interactionWidth={18} />
      {problem?.wanted ? (
        <>
          <text x={x + 8} y={y - 3}>
            ✕ {data?.label}
          </text>
          <text x={x + 8} y={y + 11}>
            wanted {shapeText(problem.wanted).replaceAll("*", "…")}
          </text>
        </>
      ) : (
        <text x={x + 8} y={y + 4}>
          {data?.label}
        </text>
      )}
    </g>
  );
});

/**
 * From far away there is a picture of plain shapes under the blocks. While the canvas is moved it stands for them, drawn
 * afresh in every frame: hundreds of blocks are too many to be put in layers sixty times a second.
 */
function Distant({ moving, nodes, edges }: { moving: boolean; nodes: AnyNode[]; edges: ShapeEdgeType[] }) {
  const store = useStoreApi();
  const sheet = useRef<HTMLCanvasElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: other blocks or links are another picture
  useEffect(() => {
    const canvas = sheet.current;
    if (!canvas) return;
    const { width, height, nodeLookup, domNode } = store.getState();
    const density = window.devicePixelRatio || 1;
    canvas.width = width * density;
    canvas.height = height * density;
    const ink = canvas.getContext("2d");
    if (!ink || !domNode) return;
    const links = new Map<string, Path2D>();
    for (const path of domNode.querySelectorAll<SVGPathElement>(".react-flow__edge-path")) {
      const { stroke } = getComputedStyle(path);
      links.set(stroke, links.get(stroke) ?? new Path2D());
      links.get(stroke)!.addPath(new Path2D(path.getAttribute("d") ?? ""));
    }
    const shapes = new Map<string, { fill: string; line: string; bar: string; boxes: Path2D; bars: Path2D }>();
    const titles: [string, number, number][] = [];
    for (const element of domNode.querySelectorAll<HTMLElement>(".react-flow__node")) {
      const node = nodeLookup.get(element.dataset.id ?? "");
      const block = element.firstElementChild as HTMLElement | null;
      if (!node || !block) continue;
      const key = [...Object.values({ ...block.dataset }), block.className, node.selected].join();
      let shape = shapes.get(key);
      if (!shape) {
        const style = getComputedStyle(block);
        const line = node.selected ? style.outlineColor : style.borderTopColor;
        const bar = getComputedStyle(block, "::before").backgroundColor;
        shape = { fill: style.backgroundColor, line, bar, boxes: new Path2D(), bars: new Path2D() };
        shapes.set(key, shape);
      }
      const { x, y } = node.internals.positionAbsolute;
      const [wide, high] = [node.measured.width ?? WIDTH, node.measured.height ?? 54];
      shape.boxes.roundRect(x, y, wide, high, 8);
      shape.bars.roundRect(x, y, 5, high, [8, 0, 0, 8]);
      const title = block.querySelector(".head b")?.textContent;
      if (title) titles.push([title, x + 15, y + high / 2]);
    }
    const style = getComputedStyle(domNode);
    let frame = 0;
    const draw = () => {
      frame = 0;
      const [x, y, zoom] = store.getState().transform;
      ink.setTransform(1, 0, 0, 1, 0, 0);
      ink.clearRect(0, 0, canvas.width, canvas.height);
      ink.setTransform(density * zoom, 0, 0, density * zoom, density * x, density * y);
      ink.lineWidth = 4;
      for (const [colour, path] of links) {
        ink.strokeStyle = colour;
        ink.stroke(path);
      }
      ink.lineWidth = Math.max(1, 0.7 / zoom);
      for (const { fill, line, bar, boxes, bars } of shapes.values()) {
        ink.fillStyle = fill;
        ink.strokeStyle = line;
        ink.fill(boxes);
        ink.stroke(boxes);
        ink.fillStyle = bar;
        ink.fill(bars);
      }
      if (zoom < WORDLESS) return;
      ink.fillStyle = style.color;
      ink.font = `600 ${1.6 * Number.parseFloat(style.fontSize)}px ${style.fontFamily}`;
      ink.textBaseline = "middle";
      for (const [title, left, middle] of titles) ink.fillText(title, left, middle);
    };
    draw();
    if (moving) domNode.dataset.distant = "";
    const stop = store.subscribe((now, before) => {
      if (now.transform !== before.transform && !frame) frame = requestAnimationFrame(draw);
    });
    return () => {
      stop();
      cancelAnimationFrame(frame);
      delete domNode.dataset.distant;
    };
  }, [moving, nodes, edges, store]);
  return <canvas className="distant" ref={sheet} aria-hidden="true" />;
}

const NODES = { block: BlockNode, note: NoteNode };
const EDGES = { shape: ShapeEdge };

export interface Chosen {
  blocks: string[];
  links: string[];
  notes: number[];
}

export interface Drop {
  x: number;
  y: number;
  at: [number, number];
  source?: string;
  output?: string;
  target?: string;
  input?: string;
}

interface Props {
  theme: Theme;
  flow: RefObject<ReactFlowInstance<AnyNode, ShapeEdgeType> | null>;
  chosen: Chosen;
  wanted: string[] | null;
  ready(): void;
  choose(chosen: Chosen): void;
  offer(drop: Drop): void;
  add(type: string, more: Record<string, unknown>): void;
}

export type Flow = ReactFlowInstance<AnyNode, ShapeEdgeType>;

export function Canvas({ theme, flow, ready, choose, wanted, offer, add }: Props) {
  const { editor, graph, run, enter } = useContext(Here);
  const version = useSyncExternalStore(editor.subscribe, () => editor.document);
  const shapes = editor.shapes(graph);
  const [nodes, setNodes] = useState<AnyNode[]>([]);
  const [edges, setEdges] = useState<ShapeEdgeType[]>([]);
  const memory = useRef(new Map<string, [string, BlockData]>());
  const moving = useRef(0);
  const drag = useRef(0);
  const [far, setFar] = useState(false);
  const [panned, setPanned] = useState(false); // then the picture as it is is moved, and drawn afresh at the end

  // biome-ignore lint/correctness/useExhaustiveDependencies: `version` is the document, `shapes` what Python says of it
  useEffect(() => {
    const data = editor.graph(graph);
    const problems = new Map(shapes.problems.map((problem) => [problem.block, problem]));
    const known = memory.current;
    memory.current = new Map();
    setNodes((before) => {
      const last = new Map(before.map((node) => [node.id, node]));
      const select = (id: string) => (wanted ? wanted.includes(id) : (last.get(id)?.selected ?? false));
      const made: AnyNode[] = data.blocks.map((block) => {
        const [inputs, optional, outputs] = editor.ports(graph, block);
        const type = editor.types.get(block.type);
        const fresh: BlockData = {
          block,
          kind: type?.kind ?? "module",
          group: type?.group ?? "",
          inputs,
          optional,
          outputs,
          problem: problems.get(block.name) ?? null,
          parameters: shapes.costs[block.name]?.[0] ?? 0,
        };
        const key = JSON.stringify(fresh);
        const old = known.get(block.name);
        const kept = old?.[0] === key ? old : ([key, fresh] as [string, BlockData]);
        memory.current.set(block.name, kept);
        const [x, y] = data.positions[block.name] ?? [0, 0];
        const before = last.get(block.name) as BlockNodeType | undefined;
        const selected = select(block.name);
        if (before?.dragging) return { ...before, data: kept[1] };
        if (
          before &&
          before.data === kept[1] &&
          before.position.x === x &&
          before.position.y === y &&
          before.selected === selected
        )
          return before;
        return {
          ...(before?.measured ? { measured: before.measured } : {}),
          id: block.name,
          type: "block",
          position: { x, y },
          data: kept[1],
          selected,
          ariaLabel: block.type === "Graph" ? String(block.properties?.graph) : block.type,
          width: WIDTH,
        };
      });
      editor.document.notes.forEach((note, number) => {
        if ((note.graph ?? editor.document.name) !== graph) return;
        const id = `note ${number}`;
        const [x, y] = note.position;
        made.push({
          id,
          type: "note",
          position: { x, y },
          data: { text: note.text, number },
          selected: select(id),
          ariaLabel: "Note",
          ...(last.get(id)?.measured ? { measured: last.get(id)!.measured } : {}),
        });
      });
      return made;
    });
    setEdges((before) => {
      const chosen = new Set(before.filter((edge) => edge.selected).map((edge) => edge.id));
      const variadic = new Set(data.blocks.filter((b) => editor.types.get(b.type)?.variadic).map((b) => b.name));
      return data.links.map(({ from, to }) => {
        const id = `${from} -> ${to}`;
        const [source, output] = from.split(".") as [string, string];
        const [target, input] = to.split(".") as [string, string];
        const [shape, dtype] = shapes.values[from] ?? ["", ""];
        const problem = problems.get(target);
        const said = [shapeText(shape), dtype].filter(Boolean).join(" ");
        const twin = data.links.find((one) => one.from === from && one.to.startsWith(`${target}.`));
        const label = twin?.to === to ? said : ""; // query, key and value: one shape is enough
        return {
          id,
          type: "shape",
          source,
          target,
          sourceHandle: output,
          targetHandle: variadic.has(target) ? "in" : input,
          data: { label, problem: problem?.link === id ? problem : null },
          selected: wanted ? false : chosen.has(id),
          ariaLabel: `${source} to ${target}${said ? `, ${said}` : ""}`,
        };
      });
    });
  }, [version, shapes, graph, editor, wanted]);

  const moved = useCallback(() => {
    clearTimeout(moving.current);
    const positions: Record<string, [number, number]> = {};
    const notes: Record<string, [number, number]> = {};
    const data = editor.graph(graph);
    for (const node of flow.current?.getNodes() ?? []) {
      const { x, y } = node.position;
      if (node.type === "note") {
        const [a, b] = editor.document.notes[node.data.number]?.position ?? [x, y];
        if (a !== x || b !== y) notes[node.data.number] = [x, y];
      } else {
        const [a, b] = data.positions[node.id] ?? [0, 0];
        if (a !== x || b !== y) positions[node.id] = [x, y];
      }
    }
    if (Object.keys(positions).length + Object.keys(notes).length)
      run(editor.step("move", graph, { positions, notes, drag: `${Date.now() >> 10} ${drag.current}` }));
  }, [editor, graph, run, flow]);

  const ancestors = useMemo(() => {
    void version;
    const users = new Map<string, string[]>();
    for (const { from, to } of editor.graph(graph).links) {
      const source = from.split(".")[0]!;
      users.set(source, [...(users.get(source) ?? []), to.split(".")[0]!]);
    }
    return users;
  }, [version, editor, graph]);
  const round = (source: string, target: string): boolean => {
    const waiting = [target];
    const seen = new Set<string>();
    while (waiting.length) {
      const here = waiting.pop()!;
      if (here === source) return true;
      if (seen.has(here)) continue;
      seen.add(here);
      waiting.push(...(ancestors.get(here) ?? []));
    }
    return false;
  };

  const onConnectEnd: OnConnectEnd = (event, state) => {
    if (state.toHandle || !state.fromHandle || !state.fromNode || !flow.current) return;
    const touch = "changedTouches" in event ? event.changedTouches[0]! : event;
    const { clientX: x, clientY: y } = touch;
    const onto = document
      .elementsFromPoint(x, y)
      .map((element) => element.closest<HTMLElement>(".react-flow__node"))
      .find((element) => element && element.dataset.id !== state.fromNode!.id)?.dataset.id;
    const forward = state.fromHandle.type === "source";
    const id = state.fromHandle.id ?? "output";
    if (onto) {
      const [source, target] = forward ? [state.fromNode.id, onto] : [onto, state.fromNode.id];
      const input = forward || id === "in" ? {} : { input: id };
      run(editor.step("connect", graph, { source, target, ...(forward ? { output: id } : {}), ...input }));
      return;
    }
    const spot = flow.current.screenToFlowPosition({ x, y });
    offer({
      x,
      y,
      at: [spot.x - WIDTH / 2, spot.y - (forward ? 0 : 60)],
      ...(forward
        ? { source: state.fromNode.id, output: id }
        : { target: state.fromNode.id, input: id === "in" ? "0" : id }),
    });
  };

  const onDrop = (event: DragEvent) => {
    const type = event.dataTransfer.getData(KIND);
    if (!type || !flow.current) return;
    event.preventDefault();
    const { x, y } = flow.current.screenToFlowPosition({ x: event.clientX, y: event.clientY });
    const link = (event.target as Element).closest<HTMLElement>(".react-flow__edge")?.dataset.id;
    const more: Record<string, unknown> = { position: [x - WIDTH / 2, y - 24] };
    if (link) {
      const [from, to] = link.split(" -> ") as [string, string];
      [more.after, more.output] = from.split(".");
      [more.before, more.input] = to.split(".");
    }
    add(type, more);
  };

  return (
    <ReactFlow
      nodes={nodes}
      edges={edges}
      nodeTypes={NODES}
      edgeTypes={EDGES}
      colorMode={theme}
      onInit={(instance) => {
        flow.current = instance;
        ready();
      }}
      onNodesChange={(changes) => {
        setNodes((now) => applyNodeChanges(changes, now));
        if (changes.some((change) => change.type === "position" && !change.dragging && change.position)) {
          clearTimeout(moving.current); // arrow keys: many small moves, sent when they have come to rest
          moving.current = window.setTimeout(moved, 350);
        }
      }}
      onEdgesChange={(changes) => setEdges((now) => applyEdgeChanges(changes, now))}
      onSelectionChange={({ nodes: some, edges: links }) =>
        choose({
          blocks: some.filter((node) => node.type === "block").map((node) => node.id),
          notes: some.filter((node) => node.type === "note").map((node) => (node.data as { number: number }).number),
          links: links.map((edge) => edge.id),
        })
      }
      onNodeDragStart={() => {
        drag.current += 1;
      }}
      onNodeDragStop={() => {
        clearTimeout(moving.current);
        moving.current = window.setTimeout(moved, 0);
      }}
      onSelectionDragStop={() => {
        moving.current = window.setTimeout(moved, 0);
      }}
      onNodeDoubleClick={(_, node) =>
        node.type === "block" && node.data.block.type === "Graph" && enter(node.data.block)
      }
      onConnect={({ source, target, sourceHandle, targetHandle }) =>
        run(
          editor.step("connect", graph, {
            source,
            target,
            output: sourceHandle,
            ...(targetHandle === "in" ? {} : { input: targetHandle }),
          }),
        )
      }
      onConnectEnd={onConnectEnd}
      isValidConnection={({ source, target }) => source !== target && !round(source, target)}
      onDragOver={(event) => {
        event.preventDefault();
        event.dataTransfer.dropEffect = "copy";
      }}
      onDrop={onDrop}
      connectionRadius={28}
      deleteKeyCode={null}
      panActivationKeyCode={null}
      multiSelectionKeyCode={["Control", "Meta", "Shift"]}
      selectionKeyCode="Shift"
      selectionMode={SelectionMode.Partial}
      zoomOnScroll={false}
      preventScrolling={false}
      zoomOnDoubleClick={false}
      minZoom={0.02}
      onMove={(_, { zoom }) => setFar(zoom < FAR)}
      onMoveStart={() => setPanned(true)}
      onMoveEnd={() => setPanned(false)}
      className={`${far ? "far" : ""} ${panned ? "moving" : ""}`}
      maxZoom={2}
      proOptions={{ hideAttribution: true }}
      onlyRenderVisibleElements={nodes.length > 120 && !far}
    >
      {far ? <Distant moving={panned} nodes={nodes} edges={edges} /> : <Background gap={20} size={1} />}
      {nodes.length > 3 ? <MiniMap pannable zoomable ariaLabel="Overview" position="bottom-right" /> : null}
    </ReactFlow>
  );
}
