/** The drawing: a canvas below, and above it what can be read and reached as elements. */
import { type KeyboardEvent, memo, type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import type { Graph } from "../../shared/graph";
import { type Picture, type Placed, THUMB } from "../../shared/layout";
import type { Camera, StageApi } from "./camera";
import { Minimap } from "./minimap";
import { type Colours, coloursOf, fillOf, type Look, paint, touches, visible } from "./paint";

/** Below this many pixels of height a box is drawn without words. */
const READABLE = 11.5;
/** Elements at most; a screen full of readable boxes has fewer. */
const MOST_ELEMENTS = 420;
const LABELS_FROM = 0.55;

export interface StageProps {
  graph: Graph;
  picture: Picture;
  open: ReadonlySet<string>;
  selected: string;
  look: ReadonlyMap<string, Look>;
  chosen: ReadonlySet<string>;
  backward: boolean;
  stage: StageApi;
  theme: string;
  thumbOf(id: string): string | null;
  onVisible(ids: string[]): void;
  select(id: string): void;
  toggle(path: string): void;
  next(by: number): void;
}

const rowOf = (item: Placed): number => (item.kind === "open" || item.width > 10 ? 28 : item.height);

/** What is drawn as an element: in sight or near, large enough to read; and what is selected, wherever it is. */
export function elementsOf(
  picture: Picture,
  camera: Camera,
  size: { width: number; height: number },
  selected: string,
) {
  // Before the page has shown it there is no size, and everything may be in sight.
  const area = size.width
    ? visible(camera, size, Math.max(size.width, size.height) / 2)
    : { left: -1e9, top: -1e9, right: 1e9, bottom: 1e9 };
  // One must always be there for the keyboard: what is selected, or the first.
  const known = picture.items.some((item) => item.id === selected);
  const kept = known ? selected : picture.items.find((item) => item.kind !== "port")?.id;
  let room = MOST_ELEMENTS;
  return picture.items.filter((item) => {
    if (item.id === kept) return true;
    if (room === 0 || tiny(item, camera) || !touches(item, area)) return false;
    room -= 1;
    return true;
  });
}

export function Stage(props: StageProps) {
  const { graph, open, selected, look, chosen, backward, stage, theme, select, toggle } = props;
  const { host, camera, size, drawn } = stage;
  const canvas = useRef<HTMLCanvasElement>(null);
  const fingers = useRef(new Map<number, [number, number]>());
  const dragged = useRef(0);
  const [hover, setHover] = useState<{ id: string; x: number; y: number } | null>(null);
  const [colours, setColours] = useState<Colours | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: colours follow the theme
  useEffect(() => {
    if (host.current) setColours(coloursOf(host.current));
  }, [theme, host]);

  // The camera as it was when the elements were chosen: small moves need no new choice.
  const chosenAt = useRef<Camera>(camera);
  const reach = Math.max(size.width, size.height) / 3;
  const last = chosenAt.current;
  if (last.scale !== camera.scale || Math.abs(last.x - camera.x) > reach || Math.abs(last.y - camera.y) > reach) {
    chosenAt.current = camera;
  }
  const anchor = chosenAt.current;
  const elements = useMemo(() => elementsOf(drawn, anchor, size, selected), [drawn, anchor, size, selected]);
  const inElements = useMemo(() => new Set(elements.map((item) => item.id)), [elements]);
  const labels = useMemo(() => {
    if (camera.scale < LABELS_FROM) return [];
    const area = visible(anchor, size, reach);
    return drawn.wires.filter(({ labelAt }) => {
      if (!labelAt) return false;
      const [x, y] = labelAt;
      return x > area.left && x < area.right && y > area.top && y < area.bottom;
    });
  }, [drawn, anchor, size, reach, camera.scale]);
  const { onVisible } = props;
  useEffect(
    () => onVisible(elements.filter((item) => item.kind === "op").map((item) => item.id)),
    [elements, onVisible],
  );

  useEffect(() => {
    if (!canvas.current || !colours || !size.width) return;
    paint(canvas.current, {
      picture: drawn,
      camera,
      size,
      colours,
      look,
      selected,
      chosen,
      backward,
      elements: inElements,
    });
  }, [drawn, camera, size, colours, look, selected, chosen, backward, inElements]);

  const stops = useMemo(() => drawn.items.filter((item) => item.kind !== "port"), [drawn]);
  const focusable = stops.some((item) => item.id === selected)
    ? selected
    : elements.find((item) => item.kind !== "port")?.id;

  const focus = (id: string) => {
    select(id);
    stage.bringIn(id);
    // Far away it becomes an element only now.
    requestAnimationFrame(() => {
      host.current?.querySelector<SVGGElement>(`[data-node="${CSS.escape(id)}"]`)?.focus({ preventScroll: true });
    });
    host.current?.querySelector<SVGGElement>(`[data-node="${CSS.escape(id)}"]`)?.focus({ preventScroll: true });
  };

  const onKey = (event: KeyboardEvent, item: Placed) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const path = item.id.startsWith("m:") ? item.id.slice(2) : null;
    const arrow = event.key.startsWith("Arrow");
    let handled = true;
    if (event.key === "Enter") {
      select(item.id);
      if (path !== null) toggle(path);
    } else if (event.key === " ") select(item.id);
    else if (event.key === "Escape") {
      const up = path === null ? placeAbove(graph, item.id) : parentOf(path);
      if (up) focus(`m:${up}`);
    } else if (event.key === "+" || event.key === "=") stage.zoom(1.25);
    else if (event.key === "-") stage.zoom(1 / 1.25);
    else if (event.key === "0") stage.fit();
    else if (event.key === ".") props.next(1);
    else if (event.key === ",") props.next(-1);
    else if (event.key === "Home" && stops[0]) focus(stops[0].id);
    else if (event.key === "End" && stops.length) focus(stops.at(-1)!.id);
    else if (arrow && event.shiftKey) {
      const by = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key]!;
      stage.pan(by[0]!, by[1]!);
    } else if (arrow) {
      const next = neighbour(stops, item, event.key);
      if (next) focus(next.id);
    } else handled = false;
    if (handled) {
      event.preventDefault();
      event.stopPropagation();
    }
  };

  /** The box under the pointer that is too small to be an element. */
  const under = (event: { clientX: number; clientY: number; target: EventTarget }): string | null => {
    if ((event.target as Element).closest("[data-node], .minimap")) return null;
    const box = host.current!.getBoundingClientRect();
    const x = (event.clientX - box.left - camera.x) / camera.scale;
    const y = (event.clientY - box.top - camera.y) / camera.scale;
    const slack = 2 / camera.scale;
    const found = drawn.items.findLast(
      (item) =>
        item.kind !== "port" &&
        !inElements.has(item.id) &&
        x >= item.x - slack &&
        x <= item.x + item.width + slack &&
        y >= item.y - slack &&
        y <= item.y + (item.kind === "open" && !tiny(item, camera) ? 26 : item.height) + slack,
    );
    return found?.id ?? null;
  };

  // One finger (or the mouse) moves the view; two fingers move and zoom it.
  const onDown = (event: PointerEvent<HTMLDivElement>) => {
    if (event.button !== 0) return;
    const onNode = (event.target as Element).closest("[data-node]");
    if (onNode && event.pointerType === "mouse") return;
    fingers.current.set(event.pointerId, [event.clientX, event.clientY]);
    dragged.current = 0;
    if (!onNode) event.currentTarget.setPointerCapture(event.pointerId);
  };
  const onMove = (event: PointerEvent<HTMLDivElement>) => {
    const known = fingers.current;
    const before = known.get(event.pointerId);
    if (!before) {
      const box = event.currentTarget.getBoundingClientRect();
      const id = event.pointerType === "mouse" ? under(event) : null;
      const next = id ? { id, x: event.clientX - box.left, y: event.clientY - box.top } : null;
      if (next || hover) setHover(next);
      return;
    }
    if (hover) setHover(null);
    const now: [number, number] = [event.clientX, event.clientY];
    dragged.current += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (known.size === 1) stage.pan(now[0] - before[0], now[1] - before[1]);
    else if (known.size === 2) {
      const other = [...known].find(([id]) => id !== event.pointerId)![1];
      const box = event.currentTarget.getBoundingClientRect();
      const far = (a: [number, number], b: [number, number]) => Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));
      const middle: [number, number] = [(now[0] + other[0]) / 2 - box.left, (now[1] + other[1]) / 2 - box.top];
      stage.zoom(far(now, other) / far(before, other), middle);
    }
    known.set(event.pointerId, now);
  };
  const onUp = (event: PointerEvent<HTMLDivElement>) => {
    fingers.current.delete(event.pointerId);
  };

  const large = drawn.width * camera.scale > size.width + 4 || drawn.height * camera.scale > size.height + 4;
  return (
    // biome-ignore lint/a11y: a click on what is too small to be an element; the keyboard has elements for all of them
    <div
      className="stage"
      ref={host}
      data-scale={camera.scale.toFixed(4)}
      data-moving={stage.moving || undefined}
      onPointerDown={onDown}
      onPointerMove={onMove}
      onPointerUp={onUp}
      onPointerCancel={onUp}
      onPointerLeave={() => setHover(null)}
      onClick={(event) => {
        const id = dragged.current < 5 ? under(event) : null;
        if (id) focus(id);
      }}
      onDoubleClick={(event) => {
        const id = under(event);
        if (id?.startsWith("m:")) toggle(id.slice(2));
      }}
    >
      <canvas ref={canvas} aria-hidden="true" />
      <svg width="100%" height="100%" role="group" aria-label="Graph. Arrow keys move, Enter opens a module.">
        <g className="camera" transform={`translate(${camera.x} ${camera.y}) scale(${camera.scale})`}>
          <g aria-hidden="true">
            {labels.map((wire) => (
              <text key={wire.id} className="wire" x={wire.labelAt![0]} y={wire.labelAt![1] + 4}>
                {wire.label}
              </text>
            ))}
          </g>
          {elements.map((item) =>
            item.kind === "port" ? (
              <Port key={item.id} item={item} />
            ) : (
              <Node
                key={item.id}
                item={item}
                name={nameOf(graph, item, look.get(item.id))}
                look={look.get(item.id)}
                fill={colours ? fillOf(item, look.get(item.id), colours) : undefined}
                thumb={item.picture ? props.thumbOf(item.id) : null}
                selected={item.id === selected}
                focusable={item.id === focusable}
                expanded={item.id.startsWith("m:") ? open.has(item.id.slice(2)) : undefined}
                select={select}
                toggle={toggle}
                onKey={onKey}
              />
            ),
          )}
        </g>
      </svg>
      {hover ? (
        <div className="hover" style={{ left: hover.x, top: hover.y }} aria-hidden="true">
          {graph.nameOf(hover.id)}
        </div>
      ) : null}
      {colours && large ? <Minimap picture={drawn} stage={stage} colours={colours} look={look} /> : null}
    </div>
  );
}

/** Too small to read, so that its whole area stands for it. */
const tiny = (item: Placed, camera: Camera): boolean => rowOf(item) * camera.scale < READABLE;

function nameOf(graph: Graph, item: Placed, look: Look | undefined): string {
  const words = [graph.nameOf(item.id)];
  if (look?.failed) words.push("raised an error");
  if (look?.trouble) words.push("made the first value that is not finite");
  if (look?.changed !== undefined) words.push("changed");
  if (look?.state === "now") words.push("now");
  if (look?.state === "todo") words.push("not yet run");
  return words.join(", ");
}

const Port = memo(({ item }: { item: Placed }) => (
  <g className="port" transform={`translate(${item.x} ${item.y})`} aria-hidden="true">
    <rect width={item.width} height={item.height} rx={item.height / 2} />
    {item.width > 10 ? (
      <text x={item.width / 2} y={item.height / 2 + 4.5}>
        {item.title}
      </text>
    ) : null}
  </g>
));

interface NodeProps {
  item: Placed;
  name: string;
  look: Look | undefined;
  fill: string | undefined;
  thumb: string | null;
  selected: boolean;
  focusable: boolean;
  expanded: boolean | undefined;
  select(id: string): void;
  toggle(path: string): void;
  onKey(event: KeyboardEvent, item: Placed): void;
}

function Node({ item, name, look, fill, thumb, selected, focusable, expanded, select, toggle, onKey }: NodeProps) {
  const stacked = item.times && item.kind === "module";
  return (
    <g
      className={`node ${item.kind}`}
      transform={`translate(${item.x} ${item.y})`}
      data-node={item.id}
      data-selected={selected || undefined}
      data-hit={look?.hit || undefined}
      data-state={look?.state}
      data-failed={look?.failed || undefined}
      data-trouble={look?.trouble || undefined}
      data-changed={look?.changed !== undefined || undefined}
      role="button"
      tabIndex={focusable ? 0 : -1}
      aria-label={name}
      aria-pressed={selected}
      aria-expanded={expanded}
      onClick={(event) => {
        event.currentTarget.focus({ preventScroll: true });
        select(item.id);
      }}
      onDoubleClick={() => item.id.startsWith("m:") && toggle(item.id.slice(2))}
      onKeyDown={(event) => onKey(event, item)}
    >
      {stacked ? (
        <>
          <rect className="behind" x={6} y={6} width={item.width} height={item.height} rx={8} />
          <rect className="behind" x={3} y={3} width={item.width} height={item.height} rx={8} />
        </>
      ) : null}
      <rect
        className="shape"
        width={item.width}
        height={item.kind === "open" ? 26 : item.height}
        rx={item.kind === "op" ? 14 : 8}
        style={item.kind === "open" ? undefined : { fill }}
      />
      {item.kind === "op" ? (
        <OpWords item={item} thumb={thumb} failed={look?.failed} />
      ) : (
        <ModuleWords item={item} toggle={toggle} />
      )}
    </g>
  );
}

function OpWords({ item, thumb, failed }: { item: Placed; thumb: string | null; failed: boolean | undefined }) {
  const left = item.picture ? THUMB + 8 : 0;
  return (
    <>
      {item.picture ? (
        <>
          <rect className="frame" x={9} y={4} width={THUMB} height={THUMB} />
          {thumb ? (
            <image href={thumb} x={9} y={4} width={THUMB} height={THUMB} preserveAspectRatio="xMidYMid meet" />
          ) : null}
        </>
      ) : null}
      {item.note ? (
        <>
          <text className="title" x={13} y={item.height / 2 + 4.5}>
            {item.title}
          </text>
          <text className="sub" x={item.width - 11} y={item.height / 2 + 4} textAnchor="end">
            {item.note}
          </text>
        </>
      ) : (
        <text className="title" x={left + (item.width - left) / 2} y={item.height / 2 + 4.5} textAnchor="middle">
          {failed ? `✕ ${item.title}` : item.title}
        </text>
      )}
    </>
  );
}

function ModuleWords({ item, toggle }: { item: Placed; toggle(path: string): void }) {
  const open = item.kind === "open";
  return (
    <>
      <text className="title" x={28} y={open ? 17.5 : 18.5}>
        {item.title}
        {open ? (
          <tspan className="sub" dx={8}>
            {item.subtitle}
          </tspan>
        ) : null}
      </text>
      {item.note ? (
        <text className="sub" x={item.width - 10} y={open ? 17.5 : 18} textAnchor="end">
          {item.note}
        </text>
      ) : null}
      {open ? null : (
        <text className="sub" x={12} y={35}>
          {item.subtitle}
        </text>
      )}
      {/* biome-ignore lint/a11y: the node around it is the button; Enter on it does the same */}
      <g
        className="toggle"
        transform="translate(16 13.5)"
        onClick={(event) => {
          event.stopPropagation();
          toggle(item.id.slice(2));
        }}
        onDoubleClick={(event) => event.stopPropagation()}
      >
        <rect x={-13} y={-12} width={25} height={25} fill="transparent" />
        <path d={open ? "M-4 -2 0 2.5 4 -2" : "M-2 -4 2.5 0 -2 4"} />
      </g>
    </>
  );
}

export const parentOf = (path: string): string | null =>
  path.includes(".") ? path.slice(0, path.lastIndexOf(".")) : null;

function placeAbove(graph: Graph, id: string): string | undefined {
  const node = graph.nodes.get(id.slice(2));
  return node?.place ?? node?.module;
}

/** The nearest item in the direction of an arrow key, straight ahead before aside. */
export function neighbour(items: Placed[], from: Placed, key: string): Placed | null {
  const middle = (item: Placed) =>
    [item.x + item.width / 2, item.y + (item.kind === "open" ? 13 : item.height / 2)] as const;
  const [fx, fy] = middle(from);
  let best: Placed | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const item of items) {
    if (item.id === from.id) continue;
    const [x, y] = middle(item);
    const ahead = { ArrowDown: y - fy, ArrowUp: fy - y, ArrowRight: x - fx, ArrowLeft: fx - x }[key] ?? 0;
    const aside = key === "ArrowDown" || key === "ArrowUp" ? Math.abs(x - fx) : Math.abs(y - fy);
    if (ahead <= 1) continue;
    const cost = ahead + 2 * aside;
    if (cost < least) {
      least = cost;
      best = item;
    }
  }
  return best;
}
