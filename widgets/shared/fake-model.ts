/** A model without a kernel, for tests: keeps traits, and what was sent. */
import type { Model } from "./model";

export class FakeModel implements Model {
  sent: Record<string, unknown>[] = [];
  saved = 0;
  private readonly handlers = new Map<string, Set<(...args: never[]) => void>>();

  constructor(readonly traits: Record<string, unknown>) {}

  get(name: string): unknown {
    return this.traits[name];
  }
  set(name: string, value: unknown): void {
    this.traits[name] = value;
    this.fire(`change:${name}`);
  }
  save_changes(): void {
    this.saved += 1;
  }
  send(content: unknown): void {
    this.sent.push(content as Record<string, unknown>);
  }
  on(name: string, callback: (...args: never[]) => void): void {
    const known = this.handlers.get(name) ?? new Set();
    this.handlers.set(name, known.add(callback));
  }
  off(name: string, callback?: (...args: never[]) => void): void {
    if (callback) this.handlers.get(name)?.delete(callback);
    else this.handlers.delete(name);
  }
  fire(name: string, ...args: unknown[]): void {
    for (const handler of [...(this.handlers.get(name) ?? [])]) handler(...(args as never[]));
  }
  /** As if the kernel had sent this. */
  receive(content: unknown, buffers: DataView[] = []): void {
    this.fire("msg:custom", content, buffers);
  }
}
