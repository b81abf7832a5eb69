/** What a page knows of recorded gradients. All views of one model share it; `widget.py` describes the messages. */
import type { NdArray } from "../../shared/codec";
import type { Channel } from "../../shared/model";
import { Watched } from "../../shared/watched";

export const QUANTITIES = ["gradient", "weight", "ratio", "dead", "activation"] as const;
export type Quantity = (typeof QUANTITIES)[number];

export const LABELS: Record<Quantity, string> = {
  gradient: "Gradient",
  weight: "Weights",
  ratio: "Update ratio",
  dead: "Dead units",
  activation: "Activations",
};
export const MEANS: Record<Quantity, string> = {
  gradient: "gradient norm",
  weight: "weight norm",
  ratio: "update / weight",
  dead: "dead units",
  activation: "spread of activations",
};

export interface Layer {
  name: string;
  kind: string;
  parameters: number;
  shared: string | null;
  frozen: boolean;
  rectifier: boolean;
  activation: boolean;
}

export interface Finding {
  kind: string;
  layers: string[];
  sentence: string;
  cause: string;
  advice: string[];
}

export interface Spread {
  layer: string;
  of: string;
  log: boolean;
  edges: Float64Array;
  runs: { steps: Float64Array; shares: Float32Array; marks: Float64Array }[];
}

/** The samples of one run: steps, and a column for each layer and quantity. */
export class Recorded {
  stream = "";
  title = "";
  model = "";
  layers: Layer[] = [];
  order: number[] = [];
  count = 0;
  private stepData = new Float64Array(256);
  private columns: Float32Array[] = [];

  steps(): Float64Array {
    return this.stepData.subarray(0, this.count);
  }

  values(row: number, quantity: number): Float32Array | null {
    return this.columns[row * QUANTITIES.length + quantity]?.subarray(0, this.count) ?? null;
  }

  /** Add samples; what is known already is skipped. False when samples before `start` are missing. */
  append(start: number, steps: ArrayLike<number>, rows: number, numbers: ArrayLike<number>): boolean {
    if (start > this.count) return false;
    const width = QUANTITIES.length;
    const skip = this.count - start;
    const fresh = steps.length - skip;
    if (fresh <= 0) return true;
    this.reserve(this.count + fresh, rows * width);
    for (let i = 0; i < fresh; i++) {
      const from = (skip + i) * rows * width;
      this.stepData[this.count + i] = steps[skip + i]!;
      for (let c = 0; c < rows * width; c++) this.columns[c]![this.count + i] = numbers[from + c]!;
    }
    this.count += fresh;
    return true;
  }

  private reserve(size: number, columns: number): void {
    if (size > this.stepData.length) {
      const capacity = Math.max(size, 2 * this.stepData.length);
      const grown = new Float64Array(capacity);
      grown.set(this.steps());
      this.stepData = grown;
      this.columns = this.columns.map((column) => {
        const wider = new Float32Array(capacity).fill(Number.NaN);
        wider.set(column.subarray(0, this.count));
        return wider;
      });
    }
    while (this.columns.length < columns) {
      this.columns.push(new Float32Array(this.stepData.length).fill(Number.NaN));
    }
  }
}

const floats = (array: NdArray): Float64Array => Float64Array.from(array.data as ArrayLike<number>);

/** How long to wait for missing samples before asking again. */
const ASK_AGAIN = 3000;

export class Store extends Watched {
  runs: Recorded[] = [];
  findings: Finding[] = [];
  verdict = "";
  watching = false;
  /** Why there is nothing yet; empty where samples are there, or a model is watched. */
  waiting = "";
  cost = 0;
  others: string[] = [];
  spread: Spread | null = null;
  problem = "";
  heard = false;
  private asked = 0;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(private readonly channel: Channel) {
    super();
    channel.listen((message) => this.receive(message));
    this.sync();
    // A request can be lost, for example while the kernel restarts; ask until something has come.
    this.timer = setInterval(() => {
      if (!this.heard) this.sync();
    }, ASK_AGAIN);
  }

  override close(): void {
    clearInterval(this.timer);
    super.close();
  }

  /** Ask for the spread of a layer's values, now and while it changes. */
  show(layer: string, of: string): void {
    this.channel.send({ kind: "show", layer, of });
  }

  private sync(): void {
    this.asked = Date.now();
    this.channel.send({
      kind: "sync",
      streams: this.runs.map((run) => run.stream),
      have: this.runs.map((run) => run.count),
    });
  }

  private receive(message: Record<string, unknown>): void {
    if (message.kind === "problem" || (message.kind === "reply" && message.ok === false)) {
      this.problem = String(message.text ?? message.error ?? "");
      this.redraw();
      return;
    }
    if (message.kind === "spread") {
      const runs = message.runs as { steps: NdArray; shares: NdArray; marks: NdArray }[];
      this.spread = {
        layer: String(message.layer),
        of: String(message.of),
        log: Boolean(message.log),
        edges: floats(message.edges as NdArray),
        runs: runs.map((run) => ({
          steps: floats(run.steps),
          shares: run.shares.data as Float32Array,
          marks: floats(run.marks),
        })),
      };
      this.redraw();
      return;
    }
    if (message.kind !== "update" && message.kind !== "verdict") return;
    this.findings = message.findings as Finding[];
    this.verdict = String(message.verdict ?? "");
    this.watching = Boolean(message.watching);
    this.waiting = String(message.waiting ?? "");
    this.cost = Number(message.cost ?? 0);
    this.others = message.others as string[];
    this.heard = true;
    this.problem = "";
    if (message.kind === "update") this.take(message.runs as Record<string, unknown>[]);
    this.redraw();
  }

  private take(pieces: Record<string, unknown>[]): void {
    let complete = true;
    let more = false;
    this.runs = pieces.map((piece, at) => {
      const known = this.runs[at];
      const run = known && known.stream === piece.stream ? known : new Recorded();
      run.stream = String(piece.stream);
      run.title = String(piece.title);
      run.model = String(piece.model);
      run.layers = piece.layers as Layer[];
      run.order = piece.order as number[];
      const steps = (piece.steps as NdArray).data as ArrayLike<number>;
      const numbers = (piece.numbers as NdArray).data as ArrayLike<number>;
      if (!run.append(piece.start as number, steps, piece.rows as number, numbers)) complete = false;
      more = more || Boolean(piece.more);
      return run;
    });
    if (more || (!complete && Date.now() - this.asked > ASK_AGAIN)) this.sync();
  }
}

// --- what is shown of it -----------------------------------------------------------------------------------------

export interface Row {
  name: string;
  layer: Layer;
  row: number;
  values: Float32Array;
  tint: number;
}

/** The layers that have this quantity, in forward order. */
export function rowsOf(run: Recorded | undefined, quantity: Quantity): Row[] {
  if (!run) return [];
  const at = QUANTITIES.indexOf(quantity);
  const found: Row[] = [];
  for (const row of run.order) {
    const layer = run.layers[row];
    const values = run.values(row, at);
    if (layer && values?.some((value) => !Number.isNaN(value)))
      found.push({ name: layer.name, layer, row, values, tint: 0 });
  }
  for (const [place, one] of found.entries()) one.tint = place / Math.max(1, found.length - 1);
  return found;
}

/** The last value that is a number, at or before index `at`. */
export function latest(values: Float32Array, at: number): number {
  for (let i = Math.min(at, values.length - 1); i >= 0; i--) if (!Number.isNaN(values[i]!)) return values[i]!;
  return Number.NaN;
}

export interface Scale {
  log: boolean;
  low: number;
  high: number;
}

/** A scale for all values: shares from 0 to 1, anything else in whole decades. */
export function scaleOf(quantity: Quantity, rows: Row[]): Scale {
  if (quantity === "dead") return { log: false, low: 0, high: 1 };
  let least = Number.POSITIVE_INFINITY;
  let most = 0;
  for (const { values } of rows) {
    for (const value of values) {
      if (value > 0 && Number.isFinite(value)) {
        if (value < least) least = value;
        if (value > most) most = value;
      }
    }
  }
  if (!(most > 0)) return { log: true, low: -6, high: 0 };
  const high = Math.ceil(Math.log10(most) - 1e-6) + 0; // a float32 that should be 1e-8 is a little beside it
  const low = Math.max(Math.floor(Math.log10(least) + 1e-6), high - 16);
  return { log: true, low, high: Math.max(high, low + 1) };
}

/** Where a value lies on its scale, from 0 to 1; NaN for none. */
export function along(scale: Scale, value: number): number {
  if (Number.isNaN(value)) return Number.NaN;
  const at = scale.log ? (value > 0 ? Math.log10(value) : scale.low) : value;
  return Math.min(1, Math.max(0, (at - scale.low) / (scale.high - scale.low)));
}

/** Round values of the scale to write at its axis: at most about `most`. */
export function ticksOf(scale: Scale, most: number): number[] {
  if (!scale.log) return [0, 0.25, 0.5, 0.75, 1];
  const stride = Math.max(1, Math.ceil((scale.high - scale.low) / most));
  const ticks: number[] = [];
  for (let tick = Math.ceil(scale.low); tick <= scale.high; tick += stride) ticks.push(Number(`1e${tick}`));
  return ticks;
}
