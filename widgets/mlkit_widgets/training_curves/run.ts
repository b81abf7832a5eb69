/** What a page knows of a run. All views of one model share it; `widget.py` describes the messages. */
import type { NdArray } from "../../shared/codec";
import type { Channel, Reply } from "../../shared/model";
import { type Piece, Series } from "../../shared/series";

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
  error?: string | null;
}

export interface RunEvent {
  kind: string;
  step?: number;
  t?: number;
  [detail: string]: unknown;
}

export const ALIVE = ["running", "paused", "stopping"];

/** How long to wait for missing points before asking again. */
const ASK_AGAIN = 3000;

export class Run {
  series = new Map<string, Series>();
  events: RunEvent[] = [];
  status: Status | null = null;
  reachable: [boolean, string] = [true, ""];
  title = "";
  problem = "";
  version = 0;
  private stream: string | null = null;
  private asked = 0;
  private frame = 0;
  private readonly listeners = new Set<() => void>();
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(private readonly channel: Channel) {
    channel.listen((message) => this.receive(message));
    this.sync();
    // A request can be lost, for example while the kernel restarts; ask until something has come.
    this.timer = setInterval(() => {
      if (this.status === null) this.sync();
    }, ASK_AGAIN);
  }

  subscribe = (callback: () => void): (() => void) => {
    this.listeners.add(callback);
    return () => this.listeners.delete(callback);
  };

  snapshot = (): number => this.version;

  close(): void {
    clearInterval(this.timer);
    cancelAnimationFrame(this.frame);
  }

  command(command: string, name?: string, value?: number): Promise<Reply> {
    return this.channel.ask({ kind: "command", command, name: name ?? null, value: value ?? null });
  }

  private sync(): void {
    this.asked = Date.now();
    const have = Object.fromEntries([...this.series].map(([name, series]) => [name, series.count]));
    this.channel.send({ kind: "sync", stream: this.stream, have, events: this.events.length });
  }

  private receive(message: Record<string, unknown>): void {
    if (message.kind === "problem" || (message.kind === "reply" && message.ok === false)) {
      this.problem = String(message.text ?? message.error ?? "");
      this.changed();
    }
    if (message.kind !== "update") return;
    if (message.stream !== this.stream) {
      this.stream = message.stream as string;
      this.series = new Map();
      this.events = [];
    }
    let complete = true;
    for (const item of message.series as (Record<"steps" | "times" | "values", NdArray> & Piece & { name: string })[]) {
      const series = this.series.get(item.name) ?? new Series();
      const piece = {
        start: item.start,
        steps: item.steps.data as Float64Array,
        times: item.times.data as Float64Array,
        values: item.values.data as Float64Array,
      };
      if (series.append(piece)) this.series.set(item.name, series);
      else complete = false;
    }
    const events = message.events as { start: number; items: RunEvent[] };
    if (events.start > this.events.length) complete = false;
    else this.events = [...this.events, ...events.items.slice(this.events.length - events.start)];
    this.status = message.status as Status;
    this.reachable = message.reachable as [boolean, string];
    this.title = message.title as string;
    this.problem = "";
    if (message.more || (!complete && Date.now() - this.asked > ASK_AGAIN)) this.sync();
    this.changed();
  }

  /** At most one redraw per frame, however many messages come. */
  private changed(): void {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.version += 1;
      for (const listener of this.listeners) listener();
    });
  }
}

// --- what belongs together ---------------------------------------------------------------------------------------

const FIRST = ["loss", "accuracy"];
const LAST = ["lr"];
const LOSSES = new Set(["loss", "error", "perplexity", "mse", "mae", "rmse"]);
const TITLES: Record<string, string> = { lr: "learning rate" };

export const familyOf = (name: string): string => name.slice(name.lastIndexOf("/") + 1);
export const partOf = (name: string): string => (name.includes("/") ? name.slice(0, name.lastIndexOf("/")) : "");
export const isLoss = (family: string): boolean => LOSSES.has(family);
export const titleOf = (family: string): string => TITLES[family] ?? family;

/** Series grouped by what they measure, in the order of the panels. The same rule as `families` in `picture.py`. */
export function families(names: Iterable<string>, wanted: string[] | null): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const name of [...names].sort()) {
    const family = familyOf(name);
    groups.set(family, [...(groups.get(family) ?? []), name]);
  }
  const place = (family: string) => (FIRST.includes(family) ? FIRST.indexOf(family) : LAST.includes(family) ? 99 : 50);
  const order =
    wanted?.filter((family) => groups.has(family)) ??
    [...groups.keys()].sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
  return new Map(order.map((family) => [family, groups.get(family)!]));
}

/** The index of the best finite value: lowest for losses, highest otherwise; -1 when there is none. */
export function bestIndex(values: Float64Array, family: string): number {
  const sign = isLoss(family) ? -1 : 1;
  let best = -1;
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i]) && (best < 0 || sign * values[i]! > sign * values[best]!)) best = i;
  }
  return best;
}

export type Along = "step" | "epoch" | "time";

export function stepsPerEpoch(status: Status | null): number | null {
  return status?.steps && status.epochs ? status.steps / status.epochs : null;
}

/** A series' x values along the chosen axis. */
export function along(series: Series, axis: Along, perEpoch: number | null): Float64Array {
  if (axis === "time") return series.time();
  if (axis === "epoch" && perEpoch) return series.step().map((step) => step / perEpoch);
  return series.step();
}
