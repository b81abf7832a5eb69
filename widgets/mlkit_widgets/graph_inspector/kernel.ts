/** What the page has asked the kernel: tensors, planes, thumbnails, explanations, each asked for once and kept. */
import { useEffect, useMemo, useReducer } from "react";
import type { NdArray } from "../../shared/codec";
import type { Channel } from "../../shared/model";

export type Which = "value" | "gradient" | "changed";

export interface TensorAnswer {
  html?: string | null;
  statistics?: Record<string, number | string | null> | null;
  missing?: string | null;
}

export interface Plane {
  shape: number[];
  lead: number[];
  rows: number;
  columns: number;
  step: [number, number];
  low: number;
  high: number;
  data: Float32Array;
}

export interface CellLink {
  value: string | null;
  name: string;
  index: number[];
  number: number | string | null;
}

export interface Line {
  text: string;
  number: number | string | null;
  cells: CellLink[];
}

export interface Explanation {
  value: string;
  index: number[];
  number: number | string | null;
  total: number | string | null;
  exact: boolean;
  title: string;
  formula: string | null;
  before: Line[];
  after: Line[];
  terms: {
    combine: string;
    count: number;
    total: number | string | null;
    rest: number | string | null;
    lines: Line[];
  } | null;
  note: string | null;
  regions: Record<string, [number, number][]>;
}

export interface ExplainAnswer {
  found?: Explanation | null;
  missing?: string | null;
}

interface Entry {
  answer: unknown;
  late: string;
}

export class Kernel {
  private readonly entries = new Map<string, Entry>();
  private readonly watchers = new Set<() => void>();
  readonly thumbs = new Map<string, string | null>();
  private readonly thumbsAsked = new Set<string>();
  private stop: (() => void) | null = null;
  onSave: ((format: string, name: string, text: string) => void) | null = null;

  constructor(readonly channel: Channel) {}

  open(): () => void {
    this.stop ??= this.channel.listen((message) => this.receive(message));
    return () => {
      this.stop?.();
      this.stop = null;
    };
  }

  watch(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  /** Forget what depends on the changes that are tried. */
  forgetChanged(): void {
    for (const key of [...this.entries.keys()]) if (key.includes("|changed|")) this.entries.delete(key);
    for (const key of [...this.thumbs.keys()]) if (key.startsWith("changed|")) this.thumbs.delete(key);
    for (const key of [...this.thumbsAsked]) if (key.startsWith("changed|")) this.thumbsAsked.delete(key);
    this.tell();
  }

  read<T>(key: string): { answer: T | null; late: string } {
    const entry = this.entries.get(key);
    return { answer: (entry?.answer ?? null) as T | null, late: entry?.late ?? "" };
  }

  ask(key: string, message: Record<string, unknown>): void {
    if (this.entries.has(key)) return;
    this.entries.set(key, { answer: null, late: "" });
    void this.channel.ask(message).then((reply) => {
      const entry = this.entries.get(key);
      if (reply.ok || !entry || entry.answer) return;
      entry.late = reply.error ?? "";
      this.tell();
    });
  }

  askThumbs(which: Which, values: string[]): void {
    const wanted = values.filter((value) => !this.thumbsAsked.has(`${which}|${value}`));
    if (wanted.length === 0) return;
    for (const value of wanted) this.thumbsAsked.add(`${which}|${value}`);
    this.channel.send({ kind: "thumbs", which, values: wanted });
  }

  private receive(message: Record<string, unknown>): void {
    const { kind, value, which } = message;
    if (kind === "tensor") this.put(`tensor|${which ?? "value"}|${value}`, message);
    else if (kind === "plane")
      this.put(`plane|${which}|${value}|${message.asked}`, { ...message, data: (message.data as NdArray).data });
    else if (kind === "explain") {
      const lines = (message.found as Explanation | null)?.terms?.lines.length ?? 0;
      const key = `explain|${value}|${(message.index as number[]).join(",")}`;
      const known = this.read<ExplainAnswer>(key).answer?.found?.terms?.lines.length ?? -1;
      if (lines >= known) this.put(key, message);
    } else if (kind === "thumbs") {
      for (const [key, image] of Object.entries(message.images as Record<string, string | null>)) {
        this.thumbs.set(`${which}|${key}`, image);
      }
      this.tell();
    } else if (kind === "save") {
      this.onSave?.(String(message.format), String(message.name), String(message.text));
    }
  }

  private put(key: string, answer: unknown): void {
    this.entries.set(key, { answer, late: "" });
    this.tell();
  }

  private tell(): void {
    for (const watcher of [...this.watchers]) watcher();
  }
}

/** One for each view. */
export function useKernel(channel: Channel): Kernel {
  const kernel = useMemo(() => new Kernel(channel), [channel]);
  useEffect(() => kernel.open(), [kernel]);
  return kernel;
}

const useTick = (kernel: Kernel): void => {
  const [, tick] = useReducer((count: number) => count + 1, 0);
  useEffect(() => kernel.watch(tick), [kernel]);
};

/** Walking over the graph with the arrow keys must not ask for every tensor on the way. */
const PAUSE = 80;

export function useAnswer<T>(
  kernel: Kernel,
  key: string | null,
  message: () => Record<string, unknown>,
): { answer: T | null; late: string } {
  useTick(kernel);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key says it all
  useEffect(() => {
    if (key === null) return;
    const timer = setTimeout(() => kernel.ask(key, message()), PAUSE);
    return () => clearTimeout(timer);
  }, [kernel, key]);
  return key === null ? { answer: null, late: "" } : kernel.read<T>(key);
}

export const useTensor = (kernel: Kernel, value: string | null, which: Which) =>
  useAnswer<TensorAnswer>(kernel, value === null ? null : `tensor|${which}|${value}`, () => ({
    kind: "tensor",
    value,
    which,
  }));

export const usePlane = (kernel: Kernel, value: string | null, which: Which, lead: number[]) =>
  useAnswer<Plane>(kernel, value === null ? null : `plane|${which}|${value}|${lead.join(",")}`, () => ({
    kind: "plane",
    value,
    which,
    lead,
  }));

export const useExplanation = (kernel: Kernel, value: string | null, index: number[]) =>
  useAnswer<ExplainAnswer>(kernel, value === null ? null : `explain|${value}|${index.join(",")}`, () => ({
    kind: "explain",
    value,
    index,
    most: 12,
  }));

export function useThumbs(
  kernel: Kernel,
  which: Which,
  values: string[],
): (value: string | undefined) => string | null {
  useTick(kernel);
  const wanted = values.join(" ");
  // biome-ignore lint/correctness/useExhaustiveDependencies: the joined ids stand for the array
  useEffect(() => {
    if (!values.length) return;
    const timer = setTimeout(() => kernel.askThumbs(which, values), PAUSE);
    return () => clearTimeout(timer);
  }, [kernel, which, wanted]);
  return (value) => (value === undefined ? null : (kernel.thumbs.get(`${which}|${value}`) ?? null));
}
