/**
 * Where everything of a graph goes. Each open module is laid out by itself and then is one box to the level above, so
 * opening one part never reshuffles another, and only what is open costs time. Rows and the order in them come from the
 * structure alone, not from sizes: what stays keeps its place relative to the rest. Levels of one structure (repeated
 * blocks) are laid out once.
 */
import dagre from "@dagrejs/dagre";
import { bytes, number } from "./format";
import { type Graph, type GraphNode, shapeText } from "./graph";
import { layered } from "./layered";

export interface Placed {
  id: string;
  kind: "module" | "open" | "op" | "port";
  x: number;
  y: number;
  width: number;
  height: number;
  depth: number;
  title: string;
  subtitle: string;
  /** Extra words at the right of a box: a time, a size. */
  note?: string;
  /** Drawn as a stack: it stands for so many. */
  times?: number;
  /** Room for a small picture at the left. */
  picture?: boolean;
}

export interface Wire {
  id: string;
  points: [number, number][];
  label: string;
  labelAt: [number, number] | null;
  values: string[];
}

export interface Picture {
  width: number;
  height: number;
  items: Placed[];
  wires: Wire[];
}

/** What boxes say besides their name. */
export type Show = "" | "picture" | "time" | "memory" | "parameters" | "output";

const CHARACTER = 7;
const SMALL_CHARACTER = 6;
const PAD = 14;
const HEADER = 30;
export const THUMB = 20;
/** Levels with more boxes than this get the quick layout. */
const MANY = 120;

const cut = (words: string, length: number) => (words.length > length ? `${words.slice(0, length - 1)}…` : words);

const compact = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });

export const time = (seconds: number): string =>
  seconds >= 1
    ? `${number(seconds, 3)} s`
    : seconds >= 1e-3
      ? `${number(seconds * 1e3, 3)} ms`
      : `${number(seconds * 1e6, 3)} µs`;

/** What an item weighs in one of the measures; null where the graph does not know. */
export function measure(graph: Graph, id: string, show: Show): number | null {
  const key = id.slice(2);
  const nodes: GraphNode[] = id.startsWith("m:")
    ? (graph.modules.get(key)?.all ?? [])
    : id.startsWith("n:")
      ? [graph.nodes.get(key)!]
      : [];
  if (nodes.length === 0) return null;
  if (show === "time") return nodes.reduce((sum, node) => sum + (node.seconds ?? 0), 0);
  if (show === "memory") {
    return nodes.reduce(
      (sum, node) => sum + node.outputs.reduce((own, id) => own + (graph.values.get(id)?.bytes ?? 0), 0),
      0,
    );
  }
  if (show === "parameters") {
    const seen = new Set<string>();
    let total = 0;
    for (const node of nodes) {
      for (const input of node.inputs) {
        const value = graph.values.get(input);
        if (value?.kind !== "parameter" || seen.has(input)) continue;
        seen.add(input);
        total += value.shape.reduce<number>((product, size) => product * Number(size), 1);
      }
    }
    return total;
  }
  return null;
}

function noteOf(graph: Graph, id: string, show: Show): string {
  if (show === "output") {
    const key = id.slice(2);
    const made = id.startsWith("n:") ? graph.nodes.get(key)!.outputs : graph.outputsOf(graph.modules.get(key)!);
    const value = graph.values.get(made[0] ?? "");
    return value ? `${shapeText(value.shape)} ${value.dtype}` : "";
  }
  const amount = measure(graph, id, show);
  if (amount === null || (amount === 0 && show !== "time")) return "";
  return show === "time" ? time(amount) : show === "memory" ? bytes(amount) : compact.format(amount);
}

function describe(graph: Graph, id: string, show: Show): Omit<Placed, "x" | "y" | "depth" | "id"> {
  const key = id.slice(id.indexOf(":") + 1);
  if (id.startsWith("m:")) {
    const module = graph.modules.get(key)!;
    const times = module.fold?.times;
    const title = cut(module.fold?.type || module.type || module.name, 34) + (times ? ` × ${times}` : "");
    const weights = module.parameters && show !== "parameters" ? `${compact.format(module.parameters)} parameters` : "";
    const subtitle = cut([module.path, weights].filter(Boolean).join(" · "), 44);
    const note = noteOf(graph, id, show);
    const wide = title.length * CHARACTER + 44 + (note ? note.length * SMALL_CHARACTER + 14 : 0);
    const width = Math.max(120, wide, subtitle.length * SMALL_CHARACTER + 28);
    return { kind: "module", title, subtitle, note, times, width, height: 44 };
  }
  if (id.startsWith("n:")) {
    const title = cut(graph.nodes.get(key)!.op, 34);
    const note = noteOf(graph, id, show);
    const picture = show === "picture";
    const extra = (note ? note.length * SMALL_CHARACTER + 12 : 0) + (picture ? THUMB + 8 : 0);
    return {
      kind: "op",
      title,
      subtitle: "",
      note,
      picture,
      width: Math.max(76, title.length * CHARACTER + 26) + extra,
      height: 28,
    };
  }
  const value = graph.values.get(key);
  const title = cut(value?.name || (id.startsWith("in:") ? "input" : "output"), 28);
  return { kind: "port", title, subtitle: "", width: Math.max(64, title.length * CHARACTER + 26), height: 26 };
}

interface Box {
  width: number;
  height: number;
  items: Placed[];
  wires: Wire[];
}

/** Coordinates of one level: of its boxes (middle), and of its arrows. */
interface Coordinates {
  at: [number, number][];
  edges: { points: [number, number][]; label: [number, number] | null }[];
  width: number;
  height: number;
}

interface Cached {
  key: string;
  box: Box;
}

/** Layouts that are still good, of one graph. */
export class LayoutCache {
  /** By module: the last layout, while what is open inside stays the same. */
  readonly boxes = new Map<string, Cached>();
  /** By structure: coordinates that fit every level of that structure. */
  readonly shapes = new Map<string, Coordinates>();
}

function place(
  sizes: [number, number][],
  edges: [number, number, number][],
  columns: number,
  cache: LayoutCache,
): Coordinates {
  const key = `${columns}|${sizes.join(";")}|${edges.join(";")}`;
  const known = cache.shapes.get(key);
  if (known) return known;
  const made = sizes.length > MANY || columns ? placeQuickly(sizes, edges, columns) : placeCarefully(sizes, edges);
  cache.shapes.set(key, made);
  return made;
}

function placeQuickly(sizes: [number, number][], edges: [number, number, number][], columns: number): Coordinates {
  const found = layered(
    sizes.map(([width, height]) => ({ width, height })),
    edges.map(([a, b]) => [a, b]),
    columns,
  );
  return {
    at: sizes.map(([width, height], i) => [found.x[i]! + width / 2, found.y[i]! + height / 2]),
    edges: found.points.map((points) => ({
      points,
      label: points[points.length === 3 ? 1 : Math.floor(points.length / 2)]!,
    })),
    width: found.width,
    height: found.height,
  };
}

function placeCarefully(sizes: [number, number][], edges: [number, number, number][]): Coordinates {
  const g = new dagre.graphlib.Graph({ multigraph: false });
  g.setGraph({ rankdir: "TB", nodesep: 22, ranksep: 20, edgesep: 14, marginx: 0, marginy: 0 });
  g.setDefaultEdgeLabel(() => ({}));
  sizes.forEach(([width, height], i) => {
    g.setNode(String(i), { width, height });
  });
  for (const [a, b, width] of edges) g.setEdge(String(a), String(b), { width, height: 15, labelpos: "c" });
  dagre.layout(g);
  const { width = 0, height = 0 } = g.graph() as { width?: number; height?: number };
  return {
    at: sizes.map((_, i) => {
      const { x, y } = g.node(String(i)) as { x: number; y: number };
      return [x, y];
    }),
    edges: edges.map(([a, b]) => {
      const edge = g.edge(String(a), String(b)) as { points: { x: number; y: number }[]; x?: number; y?: number };
      return {
        points: edge.points.map(({ x, y }) => [x, y] as [number, number]),
        label: edge.x === undefined || edge.y === undefined ? null : [edge.x, edge.y],
      };
    }),
    width: Math.max(0, width),
    height: Math.max(0, height),
  };
}

function layLevel(
  graph: Graph,
  path: string,
  open: ReadonlySet<string>,
  depth: number,
  show: Show,
  cache: LayoutCache,
): Box {
  const level = graph.level(path);
  const inner = new Map<string, Box>();
  const described = new Map<string, ReturnType<typeof describe>>();
  const number = new Map<string, number>();
  const sizes: [number, number][] = level.items.map((id, i) => {
    number.set(id, i);
    const own = describe(graph, id, show);
    described.set(id, own);
    const modulePath = id.startsWith("m:") ? id.slice(2) : null;
    if (modulePath !== null && open.has(modulePath)) {
      const box = layLevel(graph, modulePath, open, depth + 1, show, cache);
      inner.set(id, box);
      const title = (own.title.length + own.subtitle.length + (own.note?.length ?? 0)) * CHARACTER + 60;
      return [Math.max(box.width + 2 * PAD, title), box.height + HEADER + PAD];
    }
    // Inside a module, what comes in and goes out is a dot on its border; in the outermost level it has a name.
    return path !== "" && own.kind === "port" ? [8, 8] : [own.width, own.height];
  });
  const labels = level.flows.map(({ values }) => labelOf(graph, values));
  const edges = level.flows.map(
    ({ from, to }, i) =>
      [number.get(from)!, number.get(to)!, labels[i]!.length * SMALL_CHARACTER + 6] as [number, number, number],
  );
  const inside = level.items.map((id) =>
    open.has(id.slice(2)) && id.startsWith("m:") ? cache.boxes.get(id.slice(2))?.key : "",
  );
  const key = `${depth}|${show}|${sizes.join(";")}|${inside.join(",")}`;
  const known = cache.boxes.get(path);
  if (known?.key === key) return known.box;

  // A run of like blocks stands in columns, as a newspaper's text does, rather than in one long line.
  const times = graph.modules.get(path)?.fold?.times ?? 0;
  const found = place(sizes, edges, times >= 4 ? Math.round(Math.sqrt(times)) : 0, cache);
  const items: Placed[] = [];
  const wires: Wire[] = [];
  level.items.forEach((id, i) => {
    const [x, y] = found.at[i]!;
    const [width, height] = sizes[i]!;
    const left = x - width / 2;
    const top = y - height / 2;
    const own = described.get(id)!;
    const box = inner.get(id);
    if (!box) {
      items.push({ ...own, id: own.kind === "port" ? `${path}/${id}` : id, x: left, y: top, width, height, depth });
      return;
    }
    items.push({ ...own, id, kind: "open", x: left, y: top, width, height, depth });
    const dx = left + (width - box.width) / 2;
    const dy = top + HEADER;
    for (const item of box.items) items.push({ ...item, x: item.x + dx, y: item.y + dy });
    for (const wire of box.wires) wires.push(shift(wire, dx, dy));
  });
  level.flows.forEach(({ from, to, values }, i) => {
    const { points, label } = found.edges[i]!;
    wires.push({ id: `${path}/${from}>${to}`, points, label: labels[i]!, labelAt: label, values });
  });
  const box = { width: found.width, height: found.height, items, wires };
  cache.boxes.set(path, { key, box });
  return box;
}

function labelOf(graph: Graph, values: string[]): string {
  const first = shapeText(graph.values.get(values[0]!)?.shape ?? []);
  return values.length === 1 ? first : `${first} +${values.length - 1}`;
}

const shift = (wire: Wire, dx: number, dy: number): Wire => ({
  ...wire,
  points: wire.points.map(([x, y]) => [x + dx, y + dy]),
  labelAt: wire.labelAt ? [wire.labelAt[0] + dx, wire.labelAt[1] + dy] : null,
});

/** Lay out the graph with the modules in `open` unfolded. */
export const layOut = (graph: Graph, open: ReadonlySet<string>, show: Show = "", cache = new LayoutCache()): Picture =>
  layLevel(graph, "", open, 0, show, cache);

/** A smooth path through points. */
export function curve(points: [number, number][]): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let path = `M${round(first)}`;
  for (let i = 0; i < rest.length; i++) {
    const here = rest[i]!;
    const next = rest[i + 1];
    if (!next) path += `L${round(here)}`;
    else path += `Q${round(here)} ${round([(here[0] + next[0]) / 2, (here[1] + next[1]) / 2])}`;
  }
  return path;
}

const round = ([x, y]: [number, number]): string => `${x.toFixed(1)} ${y.toFixed(1)}`;
