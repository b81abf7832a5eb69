import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { pack } from "../../shared/codec";
import { FakeModel } from "../../shared/fake-model";
import { Channel } from "../../shared/model";
import { ramp, tint } from "./colors";
import { bordersOf, picked } from "./spread";
import { along, latest, QUANTITIES, Recorded, rowsOf, Store, scaleOf, ticksOf } from "./store";
import { GradientFlow } from "./view";

vi.stubGlobal("requestAnimationFrame", (callback: () => void) => setTimeout(callback, 0));
vi.stubGlobal("cancelAnimationFrame", clearTimeout);
// A canvas that draws nothing: what is drawn is looked at in a real browser (tests/ui).
HTMLCanvasElement.prototype.getContext = (() => null) as never;

const NAN = Number.NaN;
const TRAITS = { quantity: "gradient", layer: "", spread: "heatmap", compare: "", _picture: "" };
const layer = (name: string, kind: string, more = {}) => ({
  name,
  kind,
  parameters: 8,
  shared: null,
  frozen: false,
  rectifier: kind === "ReLU",
  activation: kind === "ReLU",
  ...more,
});
const LAYERS = [layer("last", "Linear"), layer("first", "Linear"), layer("act", "ReLU")];
const array = (values: number[], dtype = "float64") => ({
  data: dtype === "float32" ? Float32Array.from(values) : Float64Array.from(values),
  dtype,
  shape: [values.length],
});

interface Piece {
  stream?: string;
  start?: number;
  steps?: number[];
  /** per sample and layer: gradient, weight, ratio, dead, activation */
  numbers?: number[][][];
  more?: boolean;
  title?: string;
}

function piece({ stream = "a", start = 0, steps = [], numbers = [], more = false, title = "digits" }: Piece) {
  return {
    stream,
    title,
    model: "Net",
    layers: LAYERS,
    order: [1, 2, 0],
    start,
    steps: array(steps),
    rows: 3,
    numbers: array(numbers.flat(2), "float32"),
    more,
  };
}

function tell(model: FakeModel, message: object): void {
  const [tree, buffers] = pack(message);
  model.receive(
    tree,
    buffers.map((buffer) => new DataView(buffer)),
  );
}

const update = (model: FakeModel, pieces: Piece[], more: object = {}) =>
  tell(model, {
    kind: "update",
    runs: pieces.map(piece),
    findings: [],
    verdict: "Nothing to complain of at step 2.",
    watching: true,
    cost: 0.005,
    others: [],
    ...more,
  });

/** gradient of "last" and "first", dead units of "act" */
const sample = (last: number, first: number, dead: number) => [
  [last, 2, 0.001, NAN, 1],
  [first, 3, 0.002, NAN, 1],
  [NAN, NAN, NAN, dead, 0.5],
];

const TWO: Piece = { steps: [1, 2], numbers: [sample(0.1, 1e-5, 0.1), sample(0.2, 1e-6, 0.25)] };

function open(traits = {}) {
  const model = new FakeModel({ ...TRAITS, ...traits });
  const store = new Store(new Channel(model));
  return { model, store };
}

async function show(pieces: Piece[] = [TWO], more: object = {}, traits = {}) {
  const { model, store } = open(traits);
  render(<GradientFlow store={store} model={model} />);
  const say = async (act_: () => void) => {
    await act(async () => {
      act_();
      await new Promise((resolve) => setTimeout(resolve, 20));
    });
  };
  await say(() => update(model, pieces, more));
  return { model, store, say };
}

afterEach(cleanup);

test("it asks for everything at once, takes only what is new, and asks for the rest after a gap", () => {
  const { model, store } = open();
  expect(model.sent).toEqual([{ kind: "sync", streams: [], have: [] }]);
  update(model, [TWO]);
  update(model, [{ start: 1, steps: [2, 5], numbers: [sample(9, 9, 9), sample(0.3, 1e-7, 0.5)] }]);
  const run = store.runs[0]!;
  expect([...run.steps()]).toEqual([1, 2, 5]);
  expect([...run.values(0, 0)!].map((value) => Math.fround(value))).toEqual([0.1, 0.2, 0.3].map(Math.fround));
  vi.useFakeTimers({ now: Date.now() + 5000 });
  update(model, [{ start: 9, steps: [11], numbers: [sample(1, 1, 1)] }]);
  vi.useRealTimers();
  expect(run.count).toBe(3);
  expect(model.sent.at(-1)).toEqual({ kind: "sync", streams: ["a"], have: [3] });
  store.close();
});

test("when the kernel has more it is asked on, and another training starts anew", () => {
  const { model, store } = open();
  update(model, [{ ...TWO, more: true }]);
  expect(model.sent).toHaveLength(2);
  update(model, [{ stream: "b", steps: [7], numbers: [sample(1, 1, 1)] }]);
  expect([...store.runs[0]!.steps()]).toEqual([7]);
  store.close();
});

test("layers stand in forward order, only those that have the quantity, and are read out with value and flags", async () => {
  const finding = {
    kind: "vanishing",
    layers: ["first"],
    sentence: "it <b>vanishes</b>",
    cause: "depth",
    advice: ["nn.ReLU"],
  };
  await show([TWO], { findings: [finding], verdict: "" });
  const options = () => screen.getAllByRole("option").map((one) => one.getAttribute("aria-label"));
  expect(options()).toEqual(["first, Linear, 1e-6, vanishing", "last, Linear, 0.2"]);
  expect(screen.getByRole("status").textContent).toBe("Vanishing gradients");
  expect(screen.getByText(/it <b>vanishes<\/b>/)).toBeTruthy();
  expect(document.querySelector(".finding b b")).toBeNull();
  fireEvent.click(screen.getByRole("radio", { name: "Dead units" }));
  expect(options()).toEqual(["act, ReLU, 25 %"]);
});

test("a layer is chosen by click, by arrow keys and from a finding, for all views through the model", async () => {
  const finding = { kind: "dead", layers: ["last"], sentence: "s", cause: "c", advice: [] };
  const { model } = await show([TWO], { findings: [finding] });
  const list = screen.getByRole("listbox");
  expect(screen.getByRole("option", { name: /^first/ }).getAttribute("aria-selected")).toBe("true");
  fireEvent.keyDown(list, { key: "ArrowDown" });
  expect(model.traits.layer).toBe("last");
  expect(list.getAttribute("aria-activedescendant")).toBe(screen.getByRole("option", { name: /^last/ }).id);
  fireEvent.keyDown(list, { key: "ArrowDown" });
  expect(model.traits.layer).toBe("last");
  fireEvent.keyDown(list, { key: "Home" });
  expect(model.traits.layer).toBe("first");
  fireEvent.click(screen.getByRole("button", { name: "Show last" }));
  expect(model.traits.layer).toBe("last");
  fireEvent.click(screen.getByRole("option", { name: /^first/ }));
  expect(model.traits.layer).toBe("first");
});

test("quantities and kinds of picture are radio groups: arrow keys go round", async () => {
  const { model } = await show();
  const radio = (name: string) => screen.getByRole("radio", { name });
  fireEvent.keyDown(radio("Gradient"), { key: "ArrowLeft" });
  expect(model.traits.quantity).toBe("activation");
  expect(radio("Activations").tabIndex).toBe(0);
  expect(radio("Gradient").tabIndex).toBe(-1);
  fireEvent.keyDown(radio("Activations"), { key: "ArrowRight" });
  expect(model.traits.quantity).toBe("gradient");
  fireEvent.click(radio("Ridges"));
  expect(model.traits.spread).toBe("ridge");
});

test("arrow keys on the history go back in time, for the bars too", async () => {
  await show();
  const history = screen.getByRole("slider", { name: "gradient norm over time" });
  expect(history.getAttribute("aria-valuetext")).toBe("step 2: first 1e-6");
  fireEvent.keyDown(history, { key: "ArrowLeft" });
  expect(history.getAttribute("aria-valuetext")).toBe("step 1: first 1e-5");
  expect(screen.getByRole("option", { name: "last, Linear, 0.1" })).toBeTruthy();
  fireEvent.keyDown(history, { key: "Escape" });
  expect(screen.getByRole("option", { name: "last, Linear, 0.2" })).toBeTruthy();
});

test("the spread of the chosen layer is shown when it has come, and read out step by step", async () => {
  const { model, say } = await show();
  expect(screen.getByText("Asking the kernel for the gradients of first.")).toBeTruthy();
  expect(model.sent.at(-1)).toEqual({ kind: "show", layer: "first", of: "gradient" });
  const run = {
    steps: array([1, 2]),
    shares: array([0.5, 0.5, 0.25, 0.75], "float32"),
    marks: array([1e-6, 2e-6, 3e-6, 1e-7, 2e-7, 3e-7]),
  };
  const spread = { kind: "spread", of: "gradient", log: true, edges: array([-7, -6, -5]), runs: [run] };
  await say(() => tell(model, { ...spread, layer: "last" }));
  expect(screen.getByText("Asking the kernel for the gradients of first.")).toBeTruthy();
  await say(() => tell(model, { ...spread, layer: "first" }));
  const map = screen.getByRole("slider", { name: "heat map of gradients of first" });
  const last = "step 2: half smaller than 2e-7, nine tenths between 1e-7 and 3e-7";
  expect(map.getAttribute("aria-valuetext")).toBe(last);
  fireEvent.keyDown(map, { key: "Home" });
  expect(map.getAttribute("aria-valuetext")).toContain("step 1: half smaller than 2e-6");
  fireEvent.click(screen.getByRole("radio", { name: "Ridges" }));
  expect(screen.getByRole("slider", { name: "ridges of gradients of first" })).toBeTruthy();
});

test("a second run is chosen by its name and named beside the first", async () => {
  const { model, say } = await show([TWO], { others: ["before", "<i>after</i>"] });
  fireEvent.change(screen.getByLabelText("Compare with"), { target: { value: "before" } });
  expect(model.traits.compare).toBe("before");
  await say(() => update(model, [TWO, { ...TWO, stream: "z", title: "before" }], { others: ["before"] }));
  expect(screen.getByText("dashed: before")).toBeTruthy();
  expect(document.querySelectorAll(".bar i.second")).toHaveLength(2);
});

test("before there is anything to see it says what it waits for", async () => {
  const { model, store } = open();
  render(<GradientFlow store={store} model={model} />);
  expect(screen.getByText("Asking the kernel for the samples.")).toBeTruthy();
  await act(async () => {
    update(model, [{}]);
    await new Promise((resolve) => setTimeout(resolve, 20));
  });
  expect(screen.getByText(/begins with the first training step/)).toBeTruthy();
  await act(async () => {
    tell(model, { kind: "problem", text: "OSError: <gone>" });
    await new Promise((resolve) => setTimeout(resolve, 20));
  });
  expect(screen.getByText("OSError: <gone>")).toBeTruthy();
});

test("scales, ticks and the latest value", () => {
  const run = new Recorded();
  run.layers = LAYERS;
  run.order = [1, 2, 0];
  run.append(0, TWO.steps!, 3, TWO.numbers!.flat(2));
  run.append(2, [3], 3, sample(NAN, 1e-8, NAN).flat());
  const rows = rowsOf(run, "gradient");
  expect(rows.map((row) => [row.name, row.tint])).toEqual([
    ["first", 0],
    ["last", 1],
  ]);
  expect(latest(rows[1]!.values, 2)).toBeCloseTo(0.2);
  const scale = scaleOf("gradient", rows);
  expect(scale).toEqual({ log: true, low: -8, high: 0 });
  expect(along(scale, 1e-3)).toBeCloseTo(5 / 8);
  expect(along(scale, 0)).toBe(0);
  expect(along(scale, Number.NaN)).toBeNaN();
  expect(ticksOf(scale, 3)).toEqual([1e-8, 1e-5, 1e-2]);
  expect(scaleOf("dead", rows)).toEqual({ log: false, low: 0, high: 1 });
  expect(QUANTITIES).toHaveLength(5);
});

test("a layer that is met later has no values before", () => {
  const run = new Recorded();
  run.append(0, [1], 1, [1, 2, 3, 4, 5]);
  run.append(1, [2], 2, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect([...run.values(1, 0)!]).toEqual([NAN, 6]);
  for (let i = 2; i < 700; i++) run.append(i, [i + 1], 2, [i, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(run.values(0, 0)![699]).toBe(699);
  expect(run.values(1, 0)![0]).toBeNaN();
});

test("columns of a heat map meet half way, ridges take the first and the last", () => {
  expect([...bordersOf(Float64Array.from([1, 3, 9]))]).toEqual([0, 2, 6, 12]);
  expect([...bordersOf(Float64Array.from([5]))]).toEqual([4.5, 5.5]);
  expect(picked(3, 12)).toEqual([0, 1, 2]);
  expect(picked(100, 12)).toHaveLength(12);
  expect(picked(100, 12)[11]).toBe(99);
});

test("colours run from blue to orange, and a heat map begins at the ground", () => {
  expect(tint(0, "light")).toBe("hsl(215 60% 42%)");
  expect(tint(1, "dark")).toBe("hsl(25 60% 64%)");
  expect([...ramp("light").slice(0, 3)]).toEqual([255, 255, 255]);
  expect([...ramp("dark").slice(0, 3)]).toEqual([21, 25, 31]);
});
