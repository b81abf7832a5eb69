/** What a page knows, as React watches it: `useSyncExternalStore(it.subscribe, it.snapshot)` draws anew when it says so. */
export class Watched {
  version = 0;
  private frame = 0;
  private readonly listeners = new Set<() => void>();

  readonly subscribe = (callback: () => void): (() => void) => {
    this.listeners.add(callback);
    return () => this.listeners.delete(callback);
  };

  readonly snapshot = (): number => this.version;

  /** At most one redraw per frame, however much has come. */
  protected redraw(): void {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.version += 1;
      for (const listener of this.listeners) listener();
    });
  }

  close(): void {
    cancelAnimationFrame(this.frame);
  }
}
