/** What the kernel last said, and the drawing, which both sides may change. */
import type { NdArray } from "../../shared/codec";
import type { Channel } from "../../shared/model";
import { Watched } from "../../shared/watched";
import { INK, line } from "./drawing";

export interface Layer {
  title: string;
  path: string;
  shape: number[];
  values: NdArray;
}

export interface State {
  stage: "training" | "ready" | "failed";
  share: number;
  loss: number | null;
  accuracy: number | null;
  words: string;
  from: number;
  ink: NdArray;
  image: NdArray;
  odds: NdArray;
  classes: string[];
  layers: Layer[];
}

const BETWEEN = 50; // a drawing at most 20 times a second

export class Drawing extends Watched {
  state: State | null = null;
  problem = "";
  ink = new Uint8Array(INK * INK);
  drawing = false;
  private readonly me = 1 + Math.floor(Math.random() * 2 ** 30);
  private timer: ReturnType<typeof setTimeout> | undefined;
  private sent = 0;
  private readonly stop: () => void;

  constructor(readonly channel: Channel) {
    super();
    this.stop = channel.listen((message) => this.take(message));
    channel.send({ kind: "sync" });
  }

  line(x0: number, y0: number, x1: number, y1: number): void {
    this.ink = this.ink.slice();
    line(this.ink, x0, y0, x1, y1);
    this.redraw();
    this.later();
  }

  clear(): void {
    this.ink = new Uint8Array(INK * INK);
    this.redraw();
    this.ask({ kind: "clear" });
  }

  example(digit: number): void {
    this.ask({ kind: "example", digit });
  }

  override close(): void {
    this.stop();
    clearTimeout(this.timer);
    super.close();
  }

  private async ask(message: Record<string, unknown>): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const reply = await this.channel.ask(message);
    this.problem = reply.ok ? "" : (reply.error ?? "That did not work.");
    this.redraw();
  }

  private later(): void {
    if (this.timer !== undefined) return;
    this.timer = setTimeout(
      () => {
        this.timer = undefined;
        this.sent = Date.now();
        this.channel.send({ kind: "ink", from: this.me, ink: { data: this.ink, dtype: "uint8", shape: [INK, INK] } });
      },
      Math.max(0, this.sent + BETWEEN - Date.now()),
    );
  }

  private take(message: Record<string, unknown>): void {
    if (message.kind === "problem") this.problem = String(message.text);
    else if (message.kind === "state") {
      const state = message as unknown as State;
      const first = this.state === null;
      this.state = state;
      this.problem = "";
      // What was drawn here is newer here than what comes back of it.
      if (first || (state.from !== this.me && !this.drawing)) this.ink = new Uint8Array(state.ink.data as Uint8Array);
    } else return;
    this.redraw();
  }
}
