/**
 * Where everything of a graph goes. Each open module is laid out by itself and then is one box to the level above, so
 * opening one part never reshuffles another, and only what is open costs time.
 */
import dagre from "@dagrejs/dagre";
import { type Graph, shapeText } from "./graph";

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

const CHARACTER = 7;
const SMALL_CHARACTER = 6;
const PAD = 14;
const HEADER = 30;

const wide = (title: string, subtitle: string, least: number) =>
  Math.max(least, title.length * CHARACTER + 44, subtitle.length * SMALL_CHARACTER + 28);

const cut = (words: string, length: number) => (words.length > length ? `${words.slice(0, length - 1)}…` : words);

const compact = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });

function describe(
  graph: Graph,
  id: string,
): { kind: Placed["kind"]; title: string; subtitle: string; size: [number, number] } {
  const key = id.slice(id.indexOf(":") + 1);
  if (id.startsWith("m:")) {
    const module = graph.modules.get(key)!;
    const title = cut(module.type || module.name, 34);
    const weights = module.parameters ? `${compact.format(module.parameters)} parameters` : "";
    const subtitle = cut([module.path, weights].filter(Boolean).join(" · "), 40);
    return { kind: "module", title, subtitle, size: [wide(title, subtitle, 120), 44] };
  }
  if (id.startsWith("n:")) {
    const title = cut(graph.nodes.get(key)!.op, 34);
    return { kind: "op", title, subtitle: "", size: [Math.max(76, title.length * CHARACTER + 26), 28] };
  }
  const value = graph.values.get(key);
  const title = cut(value?.name || (id.startsWith("in:") ? "input" : "output"), 28);
  return { kind: "port", title, subtitle: "", size: [Math.max(64, title.length * CHARACTER + 26), 26] };
}

interface Box {
  width: number;
  height: number;
  items: Placed[];
  wires: Wire[];
}

function layLevel(graph: Graph, path: string, open: ReadonlySet<string>, depth: number): Box {
  const level = graph.level(path);
  const g = new dagre.graphlib.Graph({ multigraph: false });
  g.setGraph({ rankdir: "TB", nodesep: 22, ranksep: 20, edgesep: 14, marginx: 0, marginy: 0 });
  g.setDefaultEdgeLabel(() => ({}));
  const inner = new Map<string, Box>();
  for (const id of level.items) {
    const modulePath = id.startsWith("m:") ? id.slice(2) : null;
    if (modulePath !== null && open.has(modulePath)) {
      const box = layLevel(graph, modulePath, open, depth + 1);
      const { title, subtitle } = describe(graph, id);
      inner.set(id, box);
      g.setNode(id, {
        width: Math.max(box.width + 2 * PAD, (title.length + subtitle.length) * CHARACTER + 60),
        height: box.height + HEADER + PAD,
      });
    } else {
      // Inside a module, what comes in and goes out is a dot on its border; in the outermost level it has a name.
      const port = path !== "" && !id.startsWith("m:") && !id.startsWith("n:");
      const [width, height] = port ? [8, 8] : describe(graph, id).size;
      g.setNode(id, { width, height });
    }
  }
  for (const { from, to, values } of level.flows) {
    const label = labelOf(graph, values);
    g.setEdge(from, to, { width: label.length * SMALL_CHARACTER + 6, height: 15, labelpos: "c", values, label });
  }
  dagre.layout(g);

  const items: Placed[] = [];
  const wires: Wire[] = [];
  for (const id of level.items) {
    const { x, y, width, height } = g.node(id) as { x: number; y: number; width: number; height: number };
    const left = x - width / 2;
    const top = y - height / 2;
    const { kind, title, subtitle } = describe(graph, id);
    const box = inner.get(id);
    if (box) {
      items.push({ id, kind: "open", x: left, y: top, width, height, depth, title, subtitle });
      const dx = left + (width - box.width) / 2;
      const dy = top + HEADER;
      for (const item of box.items) items.push({ ...item, x: item.x + dx, y: item.y + dy });
      for (const wire of box.wires) wires.push(shift(wire, dx, dy));
    } else {
      items.push({
        id: kind === "port" ? `${path}/${id}` : id,
        kind,
        x: left,
        y: top,
        width,
        height,
        depth,
        title,
        subtitle,
      });
    }
  }
  for (const { from, to, values } of level.flows) {
    const edge = g.edge(from, to) as { points: { x: number; y: number }[]; x?: number; y?: number; label: string };
    wires.push({
      id: `${path}/${from}>${to}`,
      points: edge.points.map(({ x, y }) => [x, y]),
      label: edge.label,
      labelAt: edge.x === undefined || edge.y === undefined ? null : [edge.x, edge.y],
      values,
    });
  }
  const { width = 0, height = 0 } = g.graph() as { width?: number; height?: number };
  return { width: Math.max(0, width), height: Math.max(0, height), items, wires };
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
export const layOut = (graph: Graph, open: ReadonlySet<string>): Picture => layLevel(graph, "", open, 0);

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
