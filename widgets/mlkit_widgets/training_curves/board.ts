/** What a page knows of the runs it shows. All views of one model share it; `widget.py` describes the messages. */
import type { NdArray } from "../../shared/codec";
import type { Channel, Reply } from "../../shared/model";
import { Watched } from "../../shared/watched";

export interface Report {
  type: string;
  sentence: string;
  details: string;
  hint: string;
  place: string;
  source: [line: number, text: string, here: boolean][];
}

export interface Status {
  state: string;
  step?: number | null;
  steps?: number | null;
  epoch?: number | null;
  epochs?: number | null;
  examples_per_second?: number | null;
  elapsed?: number | null;
  eta?: number | null;
  memory_bytes?: number | null;
  lr?: number | null;
  hyperparameters?: Record<string, number | null> | null;
  registered?: Record<string, { low: number | null; high: number | null; integer: boolean }> | null;
  error?: string | null;
  report?: Report | null;
}

export interface RunEvent {
  kind: string;
  step?: number;
  t?: number;
  [detail: string]: unknown;
}

/** One exact point of a curve: step, seconds, value. */
export type Point = [step: number, time: number, value: number];

/** Stretches of a curve. `low` and `high` are null where every stretch is one point. */
export interface Columns {
  step: Float64Array;
  time: Float64Array;
  mean: Float64Array;
  low: Float32Array | null;
  high: Float32Array | null;
}

export interface Curve extends Columns {
  /** Points per bucket. */
  size: number;
  /** How many points were recorded. */
  points: number;
  lowest: Point | null;
  highest: Point | null;
  last: Point | null;
  /** A part that was zoomed into, finer. */
  window: (Columns & { zoom: [number, number] }) | null;
}

export const ALIVE = ["running", "paused", "stopping"];

/** How long to wait for missing points before asking again. */
const ASK_AGAIN = 3000;

type Arrays = Record<"step" | "time" | "mean" | "low" | "high", NdArray | undefined>;
type Piece = Arrays & {
  name: string;
  size: number;
  start: number;
  points: number;
  lowest: number[];
  highest: number[];
  last: number[];
};
type Window = Arrays & { name: string; zoom: [number, number] };

const point = (values: number[]): Point | null => (values.length === 3 ? (values as Point) : null);

function columns(arrays: Arrays): Columns {
  const data = (array: NdArray | undefined) => (array ? array.data : null);
  return {
    step: Float64Array.from(data(arrays.step) as Float64Array),
    time: Float64Array.from(data(arrays.time) as Float64Array),
    mean: Float64Array.from(data(arrays.mean) as Float64Array),
    low: data(arrays.low) as Float32Array | null,
    high: data(arrays.high) as Float32Array | null,
  };
}

function joined<T extends Float64Array | Float32Array>(before: T, start: number, after: T): T {
  const whole = new (before.constructor as { new (size: number): T })(start + after.length);
  whole.set(before.subarray(0, start));
  whole.set(after, start);
  return whole;
}

/** One run as the page knows it. */
export class Run {
  stream: string | null = null;
  title = "";
  curves = new Map<string, Curve>();
  families: Record<string, string[]> = {};
  events: RunEvent[] = [];
  status: Status | null = null;
  reachable: [boolean, string] = [true, ""];
  clonable: [boolean, string] = [false, ""];
  checkpoints: string[] = [];
  settings: Record<string, unknown> = {};
  clonedFrom: { run?: string | null; key?: string; step?: number } | null = null;

  constructor(
    readonly key: string,
    readonly number: number,
  ) {}

  /** Take what the kernel sent; false when something before it is missing. */
  receive(update: Record<string, unknown>): boolean {
    if (update.stream !== this.stream) {
      this.stream = update.stream as string;
      this.curves = new Map();
      this.events = [];
    }
    let complete = true;
    for (const piece of update.series as Piece[]) complete = this.append(piece) && complete;
    for (const item of update.windows as Window[]) {
      const curve = this.curves.get(item.name);
      if (curve) curve.window = { ...columns(item), zoom: item.zoom };
    }
    const events = update.events as { start: number; items: RunEvent[] };
    if (events.start > this.events.length) complete = false;
    else if (events.items.length) {
      this.events = [...this.events, ...events.items.slice(this.events.length - events.start)];
    }
    this.status = update.status as Status;
    const about = update.about as Record<string, unknown> | null; // what changes rarely, when it was looked at
    if (about) {
      this.title = about.title as string;
      this.families = about.families as Record<string, string[]>;
      this.reachable = about.reachable as [boolean, string];
      this.clonable = about.clonable as [boolean, string];
      this.checkpoints = about.checkpoints as string[];
      this.settings = about.settings as Record<string, unknown>;
      this.clonedFrom = (about.cloned_from ?? null) as Run["clonedFrom"];
    }
    return complete;
  }

  private append(piece: Piece): boolean {
    const known = this.curves.get(piece.name);
    const fresh = columns(piece);
    const exact = {
      size: piece.size,
      points: piece.points,
      lowest: point(piece.lowest),
      highest: point(piece.highest),
      last: point(piece.last),
    };
    if (piece.start === 0) {
      this.curves.set(piece.name, { ...fresh, ...exact, window: known?.window ?? null });
      return true;
    }
    if (!known || known.size !== piece.size || piece.start > known.step.length) return false;
    const { start } = piece;
    this.curves.set(piece.name, {
      step: joined(known.step, start, fresh.step),
      time: joined(known.time, start, fresh.time),
      mean: joined(known.mean, start, fresh.mean),
      low: fresh.low && known.low ? joined(known.low, start, fresh.low) : null,
      high: fresh.high && known.high ? joined(known.high, start, fresh.high) : null,
      ...exact,
      window: known.window,
    });
    return true;
  }

  /** What the page has, for the kernel to send the rest. */
  have(): Record<string, unknown> {
    const complete = ({ step, size, points }: Curve) => Math.min(step.length, Math.floor(points / size));
    return {
      stream: this.stream,
      have: Object.fromEntries([...this.curves].map(([name, curve]) => [name, [curve.size, complete(curve)]])),
      events: this.events.length,
    };
  }
}

/** All runs of one widget. */
export class Board extends Watched {
  runs: Run[] = [];
  /** Whether the kernel has ever answered. */
  answered = false;
  problem = "";
  private asked = 0;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(private readonly channel: Channel) {
    super();
    channel.listen((message) => this.receive(message));
    this.sync();
    // A request can be lost, for example while the kernel restarts; ask until something has come.
    this.timer = setInterval(() => {
      if (!this.answered) this.sync();
    }, ASK_AGAIN);
  }

  override close(): void {
    clearInterval(this.timer);
    super.close();
  }

  command(run: Run, command: string, name?: string, value?: unknown): Promise<Reply> {
    return this.channel.ask({ kind: "command", run: run.key, command, name: name ?? null, value: value ?? null });
  }

  ask(message: Record<string, unknown>, patience?: number): Promise<Reply> {
    return this.channel.ask(message, patience);
  }

  private sync(): void {
    this.asked = Date.now();
    try {
      this.channel.send({ kind: "sync", runs: Object.fromEntries(this.runs.map((run) => [run.key, run.have()])) });
    } catch {
      // The kernel's side is gone; what is drawn stays.
    }
  }

  private receive(message: Record<string, unknown>): void {
    if (message.kind === "problem" || (message.kind === "reply" && message.ok === false)) {
      this.problem = String(message.text ?? message.error ?? "");
      this.redraw();
    }
    if (message.kind !== "update") return;
    let complete = true;
    const order = message.order as string[];
    const known = new Map(this.runs.map((run) => [run.key, run]));
    for (const update of message.runs as Record<string, unknown>[]) {
      const key = update.key as string;
      const run = known.get(key) ?? new Run(key, Number(key.replace(/\D/g, "")) || 0);
      known.set(key, run);
      complete = run.receive(update) && complete;
    }
    this.runs = order.flatMap((key) => known.get(key) ?? []);
    if (this.runs.length < order.length) complete = false;
    this.answered = true;
    this.problem = "";
    if (!complete && Date.now() - this.asked > ASK_AGAIN) this.sync();
    this.redraw();
  }
}

// --- what belongs together: the same rules as in `following.py` ------------------------------------------------------

const PARTS = ["train", "valid", "val", "validation", "test", "eval"];
const FIRST = ["loss", "accuracy"];
const LOSSES = new Set(["loss", "error", "perplexity", "mse", "mae", "rmse"]);
const TITLES: Record<string, string> = { lr: "learning rate" };
const PANELS = 6;

export function partOf(name: string): string {
  const at = name.indexOf("/");
  return at > 0 && PARTS.includes(name.slice(0, at)) ? name.slice(0, at) : "";
}
export const familyOf = (name: string): string => (partOf(name) ? name.slice(name.indexOf("/") + 1) : name);
export const isLoss = (family: string): boolean => LOSSES.has(family.slice(family.lastIndexOf("/") + 1));
export const titleOf = (family: string): string => TITLES[family] ?? family;

/** The families of all runs, in the order of the panels. */
export function families(runs: Run[]): Map<string, string[]> {
  const groups = new Map<string, Set<string>>();
  for (const run of runs) {
    for (const [family, names] of Object.entries(run.families)) {
      const all = groups.get(family) ?? new Set();
      for (const name of names) all.add(name);
      groups.set(family, all);
    }
  }
  const place = (family: string) => {
    if (FIRST.includes(family)) return FIRST.indexOf(family);
    return family === "lr" ? 99 : family.includes("/") ? 70 : 50;
  };
  const order = [...groups.keys()].sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
  return new Map(order.map((family) => [family, [...groups.get(family)!].sort()]));
}

/** The families that are shown unasked. */
export function usual(all: string[]): string[] {
  const plain = all.filter((family) => !family.includes("/"));
  const some = plain.length ? plain : all;
  if (some.length > PANELS && some.includes("lr")) {
    return [...some.filter((family) => family !== "lr").slice(0, PANELS - 1), "lr"];
  }
  return some.slice(0, PANELS);
}

/** Each run has a colour of its own. */
export const colourOf = (run: Run): string => `run-${run.number % 8}`;

/** Names as short as they tell the runs apart: without date and number where those are not needed. */
export function labelsOf(runs: Run[]): Map<Run, string> {
  const stamp = /-\d{8}-\d{6}-([0-9a-f]{4})$/;
  const plain = runs.map((run) => run.title.replace(stamp, ""));
  const label = (run: Run, index: number) => {
    const name = plain[index]!;
    if (plain.filter((other) => other === name).length < 2) return name;
    const number = stamp.exec(run.title)?.[1];
    return number ? `${name} ${number}` : run.title;
  };
  return new Map(runs.map((run, index) => [run, label(run, index)]));
}

export type Along = "step" | "epoch" | "time";

export function stepsPerEpoch(status: Status | null): number | null {
  return status?.steps && status.epochs ? status.steps / status.epochs : null;
}

/** x of one step and time along the chosen axis. */
export function placeOf(axis: Along, perEpoch: number | null, step: number, time: number): number {
  if (axis === "time") return time;
  return axis === "epoch" && perEpoch ? step / perEpoch : step;
}

/** A curve's x values along the chosen axis. */
export function along(part: Columns, axis: Along, perEpoch: number | null): Float64Array {
  if (axis === "time") return part.time;
  return axis === "epoch" && perEpoch ? part.step.map((step) => step / perEpoch) : part.step;
}

/** Exponential moving average without the pull of a first guess; NaN passes by. */
export function smoothed(values: Float64Array, weight: number): Float64Array {
  const result = new Float64Array(values.length);
  let total = 0;
  let scale = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Number.isFinite(value)) {
      total = total * weight + (1 - weight) * value;
      scale = scale * weight + (1 - weight);
    }
    result[i] = scale > 0 ? total / scale : Number.NaN;
  }
  return result;
}

/** Whether what is in view is here as fine as it was asked for: all of it, every point of it, or a part made for it. */
export function isFine(curve: Curve | undefined, zoom: [number, number] | null): boolean {
  if (!curve || !zoom || curve.size === 1) return true;
  return curve.window?.zoom[0] === zoom[0] && curve.window.zoom[1] === zoom[1];
}

/** The exact best point of a curve. */
export const bestOf = (curve: Curve, family: string): Point | null => (isLoss(family) ? curve.lowest : curve.highest);

/** The step at which a clone left a run that is shown beside it; what came before is drawn there. */
export function branchOf(run: Run, runs: Run[]): number | null {
  const origin = run.clonedFrom;
  if (!origin || typeof origin.step !== "number") return null;
  const shown = runs.some((other) => other !== run && (other.stream === origin.key || other.title === origin.run));
  return shown ? origin.step : null;
}
