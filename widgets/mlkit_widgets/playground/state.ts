/** What the kernel last said of the playground. Each message is whole, so nothing has to be put together. */
import type { NdArray } from "../../shared/codec";
import type { Channel, Reply } from "../../shared/model";
import { Watched } from "../../shared/watched";

export interface Score {
  train: number | null;
  test: number | null;
}

export interface PointSet {
  xy: NdArray;
  target: NdArray;
  train: NdArray;
  classes: string[];
  names: [string, string];
  middle: [number, number];
  half: [number, number];
  value: [number, number];
  kind: "classification" | "regression";
}

export interface State {
  steps: number;
  epoch: number;
  loss: Score;
  accuracy: Score;
  history: NdArray;
  sizes: number[];
  features: string[];
  pictures: NdArray;
  scales: NdArray;
  surface: NdArray;
  weights: NdArray[];
  biases: NdArray[];
  trouble: string;
}

const NO_WORD = "The kernel has not answered";

export class Playing extends Watched {
  state: State | null = null;
  points: PointSet | null = null;
  problem = "";
  private readonly stop: () => void;

  constructor(readonly channel: Channel) {
    super();
    this.stop = channel.listen((message) => this.take(message));
    channel.send({ kind: "sync" });
  }

  /** Send something, and show what the kernel has against it. */
  async ask(message: Record<string, unknown>): Promise<Reply> {
    const reply = await this.channel.ask(message);
    this.problem = reply.ok ? "" : (reply.error ?? "That did not work.");
    this.redraw();
    return reply;
  }

  override close(): void {
    this.stop();
    super.close();
  }

  private take(message: Record<string, unknown>): void {
    if (message.kind === "problem") this.problem = String(message.text);
    else if (message.kind === "state") {
      this.state = message as unknown as State;
      if (this.problem.startsWith(NO_WORD)) this.problem = ""; // it was only busy
      if (message.points) this.points = message.points as PointSet;
    } else return;
    this.redraw();
  }
}
