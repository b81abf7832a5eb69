import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { type NdArray, pack } from "../../shared/codec";
import { FakeModel } from "../../shared/fake-model";
import { Channel } from "../../shared/model";
import { INK, line } from "./drawing";
import { Drawing, type State } from "./state";
import { DigitPad } from "./view";

vi.stubGlobal("requestAnimationFrame", (callback: () => void) => setTimeout(callback, 0));
vi.stubGlobal("cancelAnimationFrame", clearTimeout);
HTMLCanvasElement.prototype.getContext = (() => null) as never;
afterEach(cleanup);

const bytes = (shape: number[], value = 0): NdArray => ({
  data: new Uint8Array(shape.reduce((a, b) => a * b, 1)).fill(value),
  dtype: "uint8",
  shape,
});
const state = (more: Partial<State> = {}): State => ({
  stage: "ready",
  share: 1,
  loss: 0.1,
  accuracy: 0.96,
  words: "",
  from: 0,
  ink: bytes([INK, INK]),
  image: bytes([8, 8]),
  odds: { data: Float32Array.from([0.1, 0.7, 0.2]), dtype: "float32", shape: [3] },
  classes: ["0", "<i>one</i>", "2"],
  layers: [
    { title: "Conv2d", path: "0", shape: [40, 8, 8], values: bytes([32, 8, 8]) },
    { title: "Linear", path: "7", shape: [10], values: bytes([1, 1, 10]) },
  ],
  ...more,
});

async function show(more: Partial<State> = {}) {
  const model = new FakeModel({});
  const drawing = new Drawing(new Channel(model));
  render(<DigitPad drawing={drawing} />);
  const pause = (ms = 20) => act(async () => new Promise((resolve) => setTimeout(resolve, ms)));
  const say = async (message: object) => {
    const [tree, buffers] = pack(message);
    model.receive(
      tree,
      buffers.map((buffer) => new DataView(buffer)),
    );
    await pause();
  };
  await say({ kind: "state", ...state(more) });
  return { model, drawing, say, pause };
}

test("the answer stands in bars and large, and names are text", async () => {
  await show();
  expect(screen.getByRole("region", { name: "Digit pad" }).dataset.best).toBe("<i>one</i>");
  expect(document.querySelectorAll(".bars li")).toHaveLength(3);
  expect(document.querySelector(".bars li[data-best='true'] .share")?.textContent).toBe("70 %");
  expect(document.querySelector(".bars .name i")).toBeNull();
  expect(document.querySelectorAll("[data-layer='Conv2d'] canvas")).toHaveLength(32);
  expect(screen.getByText(/40×8×8, the first 32/)).toBeTruthy();
});

test("while it learns, a bar says how far", async () => {
  await show({ stage: "training", share: 0.426, odds: bytes([0]) as NdArray, layers: [] });
  expect((screen.getByLabelText("Training of the network") as HTMLProgressElement).value).toBeCloseTo(0.426);
  expect(screen.getByText(/42 %/)).toBeTruthy();
});

test("keys move the pen, put it down, clear, and bring examples", async () => {
  const { model, drawing, pause } = await show();
  const pad = screen.getByRole("application", { name: "Drawing" });
  fireEvent.keyDown(pad, { key: "ArrowDown" });
  expect(drawing.ink.every((value) => value === 0)).toBe(true);
  fireEvent.keyDown(pad, { key: " " });
  for (let i = 0; i < 6; i++) fireEvent.keyDown(pad, { key: "ArrowRight" });
  await pause(80);
  const row = 16 * INK;
  expect(drawing.ink[row + 28]).toBe(255);
  expect(drawing.ink[row + 39]).toBe(255);
  expect(drawing.ink[row + 20]).toBe(0);
  expect(model.sent.at(-1)?.kind).toBe("ink");
  fireEvent.keyDown(pad, { key: "7" });
  expect(model.sent.at(-1)).toMatchObject({ kind: "example", digit: 7 });
  fireEvent.keyDown(pad, { key: "Delete" });
  expect(model.sent.at(-1)).toMatchObject({ kind: "clear" });
  expect(drawing.ink.some((value) => value > 0)).toBe(false);
});

test("many strokes are few messages", async () => {
  const { model, drawing, pause } = await show();
  for (let i = 0; i < 40; i++) drawing.line(i, 10, i + 1, 10);
  await pause(120);
  expect(model.sent.filter((message) => message.kind === "ink").length).toBeLessThanOrEqual(2);
});

test("an own drawing is not undone by its echo, another's is taken", async () => {
  const { model, drawing, say, pause } = await show();
  drawing.line(10, 10, 20, 10);
  await pause(80);
  const from = model.sent.at(-1)?.from as number;
  await say({ kind: "state", ...state({ from }) });
  expect(drawing.ink[10 * INK + 15]).toBe(255);
  await say({ kind: "state", ...state({ from: from + 1, ink: bytes([INK, INK], 9) }) });
  expect(drawing.ink[0]).toBe(9);
});

test("a line is as wide as the pen, and stays on the paper", () => {
  const ink = new Uint8Array(INK * INK);
  line(ink, -5, 20, 80, 20, 3);
  expect([16, 17, 20, 23, 24].map((y) => ink[y * INK + 30])).toEqual([0, 128, 255, 128, 0]);
});
