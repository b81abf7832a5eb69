/** Talking with the kernel: the part of anywidget's model that we use, messages with arrays, and replies. */
import { useCallback, useEffect, useState } from "react";
import { pack, unpack } from "./codec";

/** What anywidget hands to a widget. */
export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
  on(name: string, callback: (...args: never[]) => void): void;
  off(name: string, callback?: (...args: never[]) => void): void;
}

export interface Reply {
  ok: boolean;
  error?: string;
  /** What else the kernel answered. */
  [part: string]: unknown;
}

/** How long a command may go unanswered before the page says that the kernel is busy or gone. */
export const PATIENCE = 2500;

/**
 * Messages of one model. Made in `initialize`, before any view: what the kernel sends while the page is still being
 * built must not be lost.
 */
export class Channel {
  private listeners = new Set<(message: Record<string, unknown>) => void>();
  private waiting = new Map<number, (reply: Reply) => void>();
  private next = 1;
  private heard = Number.NEGATIVE_INFINITY;
  private readonly handler = (content: unknown, buffers?: DataView[]) => this.receive(content, buffers ?? []);

  constructor(readonly model: Model) {
    model.on("msg:custom", this.handler as never);
  }

  listen(callback: (message: Record<string, unknown>) => void): () => void {
    this.listeners.add(callback);
    return () => this.listeners.delete(callback);
  }

  send(message: Record<string, unknown>): void {
    const [tree, buffers] = pack(message);
    this.model.send(tree, undefined, buffers);
  }

  /** Send and wait for the kernel's word on it; no word within `patience` (milliseconds) is a reply too. */
  ask(message: Record<string, unknown>, patience = PATIENCE): Promise<Reply> {
    const id = this.next++;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        resolve({
          ok: false,
          error:
            performance.now() - this.heard < patience
              ? "The kernel has not answered yet: a cell is still running, and it hears this when that is over. " +
                "(In JupyterLab, ipykernel 7.1 and newer hear it at once.)"
              : "The kernel has not answered: it is busy with another cell, or it has been shut down.",
        });
      }, patience);
      this.waiting.set(id, (reply) => {
        clearTimeout(timer);
        resolve(reply);
      });
      try {
        this.send({ ...message, id });
      } catch {
        // The kernel's side is gone, and with it the way there: PATIENCE says so.
      }
    });
  }

  close(): void {
    this.model.off("msg:custom", this.handler as never);
    this.listeners.clear();
  }

  private receive(content: unknown, buffers: DataView[]): void {
    this.heard = performance.now();
    const message = unpack(content, buffers) as Record<string, unknown>;
    if (message?.kind === "reply") {
      const answer = this.waiting.get(message.id as number);
      if (answer) {
        this.waiting.delete(message.id as number);
        answer(message as unknown as Reply);
        return;
      }
    }
    for (const listener of this.listeners) listener(message);
  }
}

/** A traitlet as React state. Setting it tells the kernel, and through it every other view. */
export function useTrait<T>(model: Model, name: string): [T, (value: T) => void] {
  const [value, setValue] = useState<T>(() => model.get(name) as T);
  useEffect(() => {
    const update = () => setValue(model.get(name) as T);
    update();
    model.on(`change:${name}`, update as never);
    return () => model.off(`change:${name}`, update as never);
  }, [model, name]);
  const set = useCallback(
    (next: T) => {
      if (Object.is(model.get(name), next)) return;
      model.set(name, next);
      model.save_changes();
    },
    [model, name],
  );
  return [value, set];
}
