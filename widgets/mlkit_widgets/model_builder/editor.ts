/** What a page knows of a model: the document and what Python says of it. All views of one builder share it. */
import type { Channel, Model, Reply } from "../../shared/model";
import { Watched } from "../../shared/watched";

export interface Property {
  name: string;
  type: string;
  default?: unknown;
  required?: boolean;
  choices?: string[];
  low?: number;
  high?: number;
}

export interface BlockType {
  name: string;
  group: string;
  kind: string;
  doc: string;
  in: string[];
  out: string[];
  optional?: string[];
  variadic?: boolean;
  /** As a line of Python, for a cell it is dropped into. */
  code?: string;
  properties: Property[];
}

export interface Block {
  name: string;
  type: string;
  properties?: Record<string, unknown>;
  shared?: string;
  comment?: string;
}

export interface GraphData {
  name: string;
  blocks: Block[];
  links: { from: string; to: string }[];
  positions: Record<string, [number, number]>;
}

export interface Note {
  text: string;
  position: [number, number];
  graph?: string;
}

export interface DocumentData extends GraphData {
  graphs: GraphData[];
  notes: Note[];
}

export type Size = number | string;

export interface Problem {
  block: string;
  message: string;
  link: string | null;
  came: Size[] | string | null;
  wanted: Size[] | string | null;
  repairs: string[];
  open?: boolean; // not wrong, only not linked yet
}

export interface ShapeData {
  values: Record<string, [Size[] | string, string]>;
  problems: Problem[];
  costs: Record<string, [number, number, number, number]>;
  total: [number, number, number, number];
  ports: Record<string, [string[], string[], string[]]>;
}

export interface Health {
  mean?: number | null;
  std?: number | null;
  zeros?: number;
  low?: number | null;
  high?: number | null;
  bins?: number[];
  gradient?: number;
  words?: string;
}

export interface Training {
  state: string;
  error: string;
  step?: number;
  steps?: number;
  epoch?: number;
  epochs?: number;
  eta?: number | null;
  elapsed?: number | null;
  curves?: Record<string, [number[], (number | null)[]]>;
  last?: Record<string, number>;
  health?: Record<string, Health>;
  names?: Record<string, string>;
}

export interface Answer extends Reply {
  select?: string[];
  said?: string;
  fits?: string[];
  fit?: boolean;
  /** Blocks were moved to make room for a new one. */
  room?: boolean;
  panel?: string;
}

export const ALIVE = ["preparing", "running", "paused", "stopping"];
/** How long a step may take before the page says that the kernel is busy: a first look at large data takes a while. */
const PATIENCE = 8000;
const NOTHING: ShapeData = { values: {}, problems: [], costs: {}, total: [0, 0, 0, 0], ports: {} };
const TRAITS = ["_palette", "_document", "_shapes", "_history", "_code", "_training", "_home"];

/** Blocks that were copied last, for pages that may not read the clipboard. */
let clipping = "";

export class Editor extends Watched {
  document!: DocumentData;
  types = new Map<string, BlockType>();
  training: Training = { state: "none", error: "" };
  private readonly changed = () => this.take();

  constructor(
    readonly model: Model,
    readonly channel: Channel,
  ) {
    super();
    for (const name of TRAITS) model.on(`change:${name}`, this.changed as never);
    channel.listen((message) => {
      if (message.kind !== "training") return;
      this.training = message as unknown as Training;
      this.redraw();
    });
    this.take();
    channel.send({ kind: "sync" });
  }

  override close(): void {
    for (const name of TRAITS) this.model.off(`change:${name}`, this.changed as never);
    super.close();
  }

  private take(): void {
    this.document = this.model.get("_document") as DocumentData;
    this.types = new Map();
    for (const { name, blocks } of this.groups)
      for (const block of blocks) this.types.set(block.name, { ...block, group: name });
    this.redraw();
  }

  get groups(): { name: string; blocks: BlockType[] }[] {
    return (this.model.get("_palette") as { groups?: { name: string; blocks: BlockType[] }[] }).groups ?? [];
  }

  get history(): { undo: string; redo: string } {
    return this.model.get("_history") as { undo: string; redo: string };
  }

  /** Whether the builder stands in a notebook, or is a document of its own with no notebook around it. */
  get home(): "notebook" | "document" {
    return (this.model.get("_home") as { kind?: "document" } | undefined)?.kind ?? "notebook";
  }

  graph(name: string): GraphData {
    return this.document.graphs.find((graph) => graph.name === name) ?? this.document;
  }

  shapes(name: string): ShapeData {
    return (this.model.get("_shapes") as Record<string, ShapeData>)[name] ?? NOTHING;
  }

  /** [inputs, optional inputs, outputs] of a block. */
  ports(graph: string, block: Block): [string[], string[], string[]] {
    const own = this.shapes(graph).ports[block.name];
    const type = this.types.get(block.type);
    return own ?? [type?.variadic ? ["in"] : (type?.in ?? []), type?.optional ?? [], type?.out ?? []];
  }

  step(what: string, graph: string | null, more: Record<string, unknown> = {}): Promise<Answer> {
    return this.channel.ask({ kind: "step", do: what, graph, ...more }, PATIENCE) as Promise<Answer>;
  }

  /** Chosen blocks as the text of a document, with the sub-graphs that they need. */
  copy(graph: GraphData, names: Set<string>): string {
    const has = (end: string) => names.has(end.split(".")[0]!);
    const needed = new Map<string, GraphData>();
    const need = (blocks: Block[]) => {
      for (const block of blocks) {
        const inner = block.type === "Graph" ? String(block.properties?.graph) : "";
        if (!inner || needed.has(inner)) continue;
        needed.set(inner, this.graph(inner));
        need(this.graph(inner).blocks);
      }
    };
    const blocks = graph.blocks
      .filter((block) => names.has(block.name))
      .map(({ shared, ...block }) => (shared && names.has(shared) ? { ...block, shared } : block));
    need(blocks);
    const { format, version } = this.document as unknown as { format: string; version: number };
    clipping = JSON.stringify({
      format,
      version,
      name: needed.has("Clipping") ? "Clipping_2" : "Clipping",
      blocks,
      links: graph.links.filter(({ from, to }) => has(from) && has(to)),
      positions: Object.fromEntries(Object.entries(graph.positions).filter(([name]) => names.has(name))),
      graphs: [...needed.values()],
    });
    return clipping;
  }

  get clipping(): string {
    return clipping;
  }
}

export const isModelText = (text: string): boolean =>
  text.trimStart().startsWith("{") && text.includes('"mlkit.model"');

export const shapeText = (shape: Size[] | string | null | undefined): string =>
  shape === null || shape === undefined
    ? ""
    : typeof shape === "string"
      ? shape
      : shape.length
        ? shape.join("×")
        : "scalar";

/** A property as a person writes it, and back: 3, 3×3 as "3, 3", true, None. */
export function write(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (value === true || value === false) return value ? "True" : "False";
  if (Array.isArray(value)) return value.map(write).join(", ");
  return String(value);
}

/** The value that a text means for a property, or an Error that says what was expected. */
export function read(text: string, property: Property): unknown {
  const words = text.trim().replace(/^[([]|[)\]]$/g, "");
  if (words === "None" || words === "") return null;
  const one = (part: string): unknown => {
    const piece = part.trim();
    const value = Number(piece);
    if (piece !== "" && Number.isFinite(value)) return value;
    if (piece === "None") return null;
    if (/^true$/i.test(piece)) return true;
    if (/^false$/i.test(piece)) return false;
    return piece === "N" ? "batch" : piece;
  };
  const parts = words.replace(/,\s*$/, "").split(/[,×]/).map(one);
  const value = parts.length > 1 || property.name === "shape" || words.includes(",") ? parts : parts[0];
  const numbers = Array.isArray(value) ? value : [value];
  const wrong = (what: string) => new Error(`${property.name} must be ${what}, got "${text}"`);
  if (property.type === "int" && !(typeof value === "number" && Number.isInteger(value))) throw wrong("a whole number");
  if (property.type === "float" && typeof value !== "number") throw wrong("a number");
  if (property.type === "ints" && !numbers.every((n) => typeof n === "string" || Number.isInteger(n)))
    throw wrong("a whole number, or several with commas");
  if (property.type === "str") return words;
  for (const n of numbers) {
    if (typeof n !== "number") continue;
    const { low, high } = property;
    if ((low !== undefined && n < low) || (high !== undefined && n > high))
      throw wrong(high !== undefined ? `${low} to ${high}` : `${low} or more`);
  }
  return value;
}

const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
export const short = (value: number): string => compact.format(value);

/** The settings of a block in few words: "1 → 16, kernel_size 3". */
export function settings(block: Block): string {
  const given = { ...(block.properties ?? {}) };
  const parts: string[] = [];
  for (const [from, to] of [
    ["in_features", "out_features"],
    ["in_channels", "out_channels"],
    ["input_size", "hidden_size"],
    ["num_embeddings", "embedding_dim"],
  ] as const) {
    if (from in given && to in given) {
      parts.push(`${write(given[from])} → ${write(given[to])}`);
      delete given[from];
      delete given[to];
    }
  }
  delete given.graph;
  if (block.type === "Graph") delete given.repeat;
  for (const [name, value] of Object.entries(given)) {
    if (value === "batch" || Array.isArray(value)) parts.push(write(value).replace("batch", "N"));
    else parts.push(name === "value" ? write(value) : `${name} ${write(value)}`);
  }
  return parts.join(", ");
}
