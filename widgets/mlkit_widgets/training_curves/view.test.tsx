import { act, cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { pack } from "../../shared/codec";
import { FakeModel } from "../../shared/fake-model";
import { Channel } from "../../shared/model";
import { Board, branchOf, families, labelsOf, Run, smoothed, usual } from "./board";
import { axesOf, prepare, type View } from "./plot";
import { differing } from "./runs";
import { TrainingCurves } from "./view";

vi.stubGlobal("requestAnimationFrame", (callback: () => void) => setTimeout(callback, 0));
vi.stubGlobal("cancelAnimationFrame", clearTimeout);

// A canvas that draws nothing: what is drawn is looked at in a real browser (tests/ui).
beforeEach(() => {
  const nothing = new Proxy(
    {},
    { get: (_, name) => (name === "measureText" ? () => ({ width: 20 }) : () => undefined), set: () => true },
  );
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(nothing as never);
  vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(400);
});

const TRAITS = {
  x: "step",
  smoothing: 0.5,
  log_x: false,
  log_y: false,
  metrics: null,
  zoom: null,
  hidden: [],
  selected: "",
  _library: null,
  _picture: "",
};

interface Update {
  key?: string;
  stream?: string;
  title?: string;
  size?: number;
  series?: Record<string, [start: number, values: number[]]>;
  events?: { start: number; items: object[] };
  status?: object;
  reachable?: [boolean, string];
  clonable?: [boolean, string];
  settings?: object;
  cloned_from?: object | null;
}

const array = (values: number[]) => ({ data: Float64Array.from(values), dtype: "float64", shape: [values.length] });

function update(model: FakeModel, ...runs: Update[]): void {
  const [tree, buffers] = pack({
    kind: "update",
    order: runs.map((run) => run.key ?? "run0"),
    runs: runs.map(({ series = {}, status = {}, size = 1, key, stream, events, ...about }) => ({
      key: key ?? "run0",
      stream: stream ?? "a",
      windows: [],
      events: events ?? { start: 0, items: [] },
      about: {
        title: "digits",
        families: Object.fromEntries(
          [...new Set(Object.keys(series).map((name) => name.split("/").at(-1)!))].map((family) => [
            family,
            Object.keys(series).filter((name) => name.split("/").at(-1) === family),
          ]),
        ),
        reachable: [true, ""],
        clonable: [true, ""],
        checkpoints: ["step-00000002.safetensors"],
        settings: {},
        cloned_from: null,
        ...about,
      },
      status: {
        state: "running",
        step: 3,
        steps: 10,
        epoch: 1,
        epochs: 2,
        lr: 0.01,
        hyperparameters: { lr: 0.01, weight_decay: 0.1, temperature: 0.7 },
        registered: { temperature: { low: 0.1, high: 2, integer: false } },
        ...status,
      },
      series: Object.entries(series).map(([name, [start, values]]) => ({
        name,
        size,
        start,
        points: (start + values.length) * size,
        step: array(values.map((_, i) => (start + i + 1) * size)),
        time: array(values.map((_, i) => (start + i + 1) / 10)),
        mean: array(values),
        ...(size > 1 ? { low: array(values), high: array(values) } : {}),
        lowest: [1, 0.1, Math.min(...values)],
        highest: [1, 0.1, Math.max(...values)],
        last: [1, 0.1, values.at(-1)],
      })),
    })),
  });
  model.receive(
    tree,
    buffers.map((buffer) => new DataView(buffer)),
  );
}

function open() {
  const model = new FakeModel({ ...TRAITS });
  const board = new Board(new Channel(model));
  return { model, board };
}

async function show(...first: Update[]) {
  const { model, board } = open();
  render(<TrainingCurves board={board} model={model} />);
  const say = async (...next: Update[]) => {
    await act(async () => {
      update(model, ...next);
      await new Promise((resolve) => setTimeout(resolve, 20));
    });
  };
  await say(...(first.length ? first : [{}]));
  return { model, board, say };
}

const commands = (model: FakeModel) => model.sent.filter((message) => message.kind === "command");

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

test("it asks for everything at once, and for the missing part after a gap", () => {
  const { model, board } = open();
  expect(model.sent).toEqual([{ kind: "sync", runs: {} }]);
  update(model, { series: { "train/loss": [0, [3, 2]] } });
  vi.useFakeTimers({ now: Date.now() + 5000 });
  update(model, { series: { "train/loss": [5, [1]] } });
  vi.useRealTimers();
  expect([...board.runs[0]!.curves.get("train/loss")!.mean]).toEqual([3, 2]);
  expect(model.sent.at(-1)).toEqual({
    kind: "sync",
    runs: { run0: { stream: "a", have: { "train/loss": [1, 2] }, events: 0 } },
  });
  board.close();
});

test("pieces join, buckets that doubled begin anew, and another run too", () => {
  const { model, board } = open();
  const curve = () => board.runs[0]!.curves.get("lr")!;
  update(model, { series: { lr: [0, [1, 2, 3]] } });
  update(model, { series: { lr: [2, [9, 4]] } });
  expect([...curve().mean]).toEqual([1, 2, 9, 4]);
  update(model, { size: 2, series: { lr: [1, [5]] } });
  expect([...curve().mean]).toEqual([1, 2, 9, 4]);
  update(model, { size: 2, series: { lr: [0, [1.5, 5]] } });
  expect([...curve().mean]).toEqual([1.5, 5]);
  expect(board.runs[0]!.have()).toMatchObject({ have: { lr: [2, 2] } });
  update(model, { stream: "b", series: { lr: [0, [7]] } });
  expect([...curve().mean]).toEqual([7]);
  board.close();
});

test("buttons fit the state: what cannot be done now is marked as disabled and sends nothing", async () => {
  const { model, say } = await show();
  const group = () => within(screen.getByRole("group", { name: "Controls" })).getAllByRole("button");
  const enabled = () =>
    group()
      .filter((button) => button.getAttribute("aria-disabled") !== "true")
      .map((button) => button.textContent);
  expect(group().map((button) => button.textContent)).toEqual([
    "Pause",
    "Resume",
    "Step",
    "Stop",
    "Save checkpoint",
    "Clone from here",
  ]);
  expect(document.querySelector(".badge")!.textContent).toBe("Running");
  expect(enabled()).toEqual(["Pause", "Stop", "Save checkpoint", "Clone from here"]);
  fireEvent.click(screen.getByText("Resume"));
  expect(commands(model)).toEqual([]);
  fireEvent.click(screen.getByText("Pause"));
  expect(model.sent.at(-1)).toMatchObject({ kind: "command", run: "run0", command: "pause" });
  await say({ status: { state: "paused" } });
  expect(enabled()).toEqual(["Resume", "Step", "Stop", "Save checkpoint", "Clone from here"]);
  await say({
    status: { state: "finished" },
    reachable: [false, "The training has finished."],
    clonable: [false, "gone"],
  });
  expect(enabled()).toEqual([]);
  expect(screen.queryByText("The training has finished.")).toBeNull();
});

test("a thousand clicks while the kernel is busy are one wish; each Step is a step", async () => {
  const { model, say } = await show();
  for (let i = 0; i < 1000; i++) fireEvent.click(screen.getByText("Pause"));
  expect(commands(model)).toHaveLength(1);
  await say({ status: { state: "paused" } });
  for (let i = 0; i < 5; i++) fireEvent.click(screen.getByText("Step"));
  expect(commands(model).filter(({ command }) => command === "step")).toHaveLength(5);
});

test("a button that is not heard while curves still come says what the kernel waits for", async () => {
  const { model } = await show();
  vi.useFakeTimers();
  try {
    fireEvent.click(screen.getByText("Pause"));
    await act(() => vi.advanceTimersByTimeAsync(2000));
    await act(async () => update(model, {}));
    await act(() => vi.advanceTimersByTimeAsync(1000));
    expect(screen.getByRole("alert").textContent).toContain("a cell is still running");
    fireEvent.click(screen.getByText("Stop"));
    await act(() => vi.advanceTimersByTimeAsync(3000));
    expect(screen.getByRole("alert").textContent).toContain("or it has been shut down");
  } finally {
    vi.useRealTimers();
  }
});

test("a run that buttons cannot reach says so in words", async () => {
  await show({ reachable: [false, "This training holds the cell itself."], clonable: [false, "no"] });
  expect(screen.getByText("This training holds the cell itself.")).toBeTruthy();
  for (const button of within(screen.getByRole("group", { name: "Controls" })).getAllByRole("button")) {
    expect(button.getAttribute("aria-disabled")).toBe("true");
  }
  expect(screen.getByLabelText<HTMLInputElement>("learning rate").readOnly).toBe(true);
});

test("the learning rate is sent on Enter as a number; nonsense is explained and not sent", async () => {
  const { model } = await show();
  const field = screen.getByLabelText<HTMLInputElement>("learning rate");
  expect(field.value).toBe("0.01");
  fireEvent.change(field, { target: { value: "3e-4" } });
  fireEvent.keyDown(field, { key: "Enter" });
  expect(model.sent.at(-1)).toMatchObject({ kind: "command", command: "set", name: "lr", value: 3e-4 });
  const before = model.sent.length;
  for (const nonsense of ["fast", "-1", "", "1/0"]) {
    fireEvent.change(field, { target: { value: nonsense } });
    fireEvent.keyDown(field, { key: "Enter" });
    expect(screen.getByRole("alert").textContent).toContain("must be a number that is not negative");
  }
  expect(model.sent).toHaveLength(before);
});

test("each registered hyperparameter has a field of its name, within its limits; others are one click away", async () => {
  const { model } = await show();
  const field = screen.getByLabelText<HTMLInputElement>("temperature");
  fireEvent.change(field, { target: { value: "5" } });
  fireEvent.keyDown(field, { key: "Enter" });
  expect(screen.getByRole("alert").textContent).toBe("The temperature must be at most 2.");
  fireEvent.change(field, { target: { value: "1.5" } });
  fireEvent.keyDown(field, { key: "Enter" });
  expect(model.sent.at(-1)).toMatchObject({ command: "set", name: "temperature", value: 1.5 });
  expect(screen.queryByLabelText("weight_decay")).toBeNull();
  fireEvent.click(screen.getByText("1 more settings"));
  expect(screen.getByLabelText<HTMLInputElement>("weight_decay").value).toBe("0.1");
});

test("a second run is asked for with what was changed only", async () => {
  const { model } = await show();
  fireEvent.click(screen.getByText("Clone from here"));
  fireEvent.change(screen.getByLabelText("New learning rate"), { target: { value: "0.5" } });
  fireEvent.change(screen.getByLabelText("Start from"), { target: { value: "step-00000002.safetensors" } });
  fireEvent.click(screen.getByText("Start second run"));
  expect(model.sent.at(-1)).toMatchObject({
    command: "clone",
    value: { settings: { lr: 0.5 }, checkpoint: "step-00000002.safetensors", name: null },
  });
  await act(async () => model.receive({ kind: "reply", id: model.sent.at(-1)!.id, ok: true }));
  expect(screen.queryByLabelText("New learning rate")).toBeNull();
  expect(document.activeElement?.textContent).toBe("Clone from here");
});

test("a run that cannot be cloned says why when it is tried", async () => {
  const { model } = await show({ clonable: [false, "Only a Trainer knows how."] });
  fireEvent.click(screen.getByText("Clone from here"));
  expect(screen.getByRole("alert").textContent).toBe("Only a Trainer knows how.");
  expect(commands(model)).toEqual([]);
});

test("what is to be done in Python stands as code of its own", async () => {
  await show({ clonable: [false, "The run has ended.\n\nrun = trainer.start(...)\nrun.lr = 1"] });
  const button = screen.getByText("Clone from here");
  expect(button.title).toBe("The run has ended.");
  fireEvent.click(button);
  const note = screen.getByRole("alert");
  expect(note.querySelector("code")?.textContent).toBe("run = trainer.start(...)\nrun.lr = 1");
  expect(note.firstChild?.textContent).toBe("The run has ended.");
});

test("a refused command and an ended run are shown as text, never as markup", async () => {
  const { model, say } = await show();
  fireEvent.click(screen.getByText("Stop"));
  const { id } = model.sent.at(-1)!;
  await act(async () => model.receive({ kind: "reply", id, ok: false, error: "<b>no</b>" }));
  expect(screen.getByRole("alert").textContent).toBe("<b>no</b>");
  const report = {
    type: "ShapeError",
    sentence: "32 != 63 <img src=x>",
    details: "weight: (10, 63)",
    hint: "Linear(32, 10)",
    place: "this notebook, line 2",
    source: [[2, "model(x)", true]],
  };
  await say({ status: { state: "failed", error: "ShapeError: 32 != 63", report } });
  const card = document.querySelector(".failure")!.textContent!;
  for (const words of [
    "ShapeError",
    "32 != 63 <img src=x>",
    "weight: (10, 63)",
    "What to do: Linear(32, 10)",
    "model(x)",
  ])
    expect(card).toContain(words);
  expect(document.querySelector("img")).toBeNull();
});

test("one panel for each metric, in a fixed order; options are shared through the model", async () => {
  const { model } = await show({
    series: { lr: [0, [1]], "valid/loss": [0, [2]], "train/loss": [0, [3]], "train/accuracy": [0, [0.5]] },
  });
  const titles = () => [...document.querySelectorAll(".panel .title")].map((title) => title.textContent);
  expect(titles()).toEqual(["loss", "accuracy", "learning rate"]);
  fireEvent.change(screen.getByLabelText("Along"), { target: { value: "time" } });
  fireEvent.click(screen.getByLabelText("Log y"));
  expect(model.traits).toMatchObject({ x: "time", log_y: true });
  fireEvent.click(screen.getByText("Metrics"));
  fireEvent.click(screen.getByLabelText("accuracy"));
  expect(model.traits.metrics).toEqual(["loss", "lr"]);
  expect(titles()).toEqual(["loss (log)", "learning rate (log)"]);
});

test("a curve is read and zoomed with keys", async () => {
  const { model } = await show({ series: { "train/loss": [0, [3, 2, 1, 0.5, 0.25]] }, status: {} });
  const plot = screen.getByRole("slider", { name: "curve of loss" });
  fireEvent.keyDown(plot, { key: "Home" });
  expect(plot.getAttribute("aria-valuetext")).toBe("step 1: train 3");
  fireEvent.keyDown(plot, { key: "ArrowRight" });
  expect(plot.getAttribute("aria-valuetext")).toMatch(/^step 2: train 2\.3/);
  fireEvent.keyDown(plot, { key: "+" });
  expect(model.traits.zoom).toEqual([1.5, 3.5]);
  fireEvent.keyDown(plot, { key: "ArrowRight", shiftKey: true });
  expect(model.traits.zoom).toEqual([2, 4]);
  expect(screen.getByText("Show all")).toBeTruthy();
  fireEvent.keyDown(plot, { key: "0" });
  expect(model.traits.zoom).toBeNull();
});

test("a part of a long curve is moved and left by keys as well", async () => {
  const values = Array.from({ length: 40 }, (_, i) => 40 - i);
  const { model, board } = await show({ size: 1000, series: { "train/loss": [0, values] } });
  await act(async () => {
    model.set("zoom", [10_000, 12_000]);
    const part = [10_000, 10_500, 11_000, 11_500, 12_000];
    const columns = { step: Float64Array.from(part), time: Float64Array.from(part), mean: Float64Array.from(part) };
    board.runs[0]!.curves.get("train/loss")!.window = { ...columns, low: null, high: null, zoom: [10_000, 12_000] };
  });
  const plot = screen.getByRole("slider", { name: "curve of loss" });
  fireEvent.keyDown(plot, { key: "ArrowRight", shiftKey: true });
  expect(model.traits.zoom).toEqual([10_500, 12_500]);
  fireEvent.keyDown(plot, { key: "-" });
  expect(model.traits.zoom).toEqual([9_500, 13_500]);
});

test("several runs: a table, panels apart for train and validation, and buttons for the chosen one", async () => {
  const { model } = await show(
    { key: "run0", title: "a-20260101-120000-00ff", series: { "train/loss": [0, [3]], "valid/loss": [0, [2]] } },
    {
      key: "run1",
      stream: "b",
      title: "b-20260101-120000-00fe",
      series: { "train/loss": [0, [1]], "valid/loss": [0, [1]] },
      status: { state: "paused", lr: 0.5, hyperparameters: { lr: 0.5, weight_decay: 0.1, temperature: 0.7 } },
    },
  );
  expect([...document.querySelectorAll(".panel .title")].map((title) => title.textContent)).toEqual([
    "loss · train",
    "loss · valid",
  ]);
  expect(screen.getByRole("columnheader", { name: "learning rate" })).toBeTruthy();
  expect(screen.getByRole("row", { name: /b 2026-01-01 12:00 Paused 3 1 the best of all 0.5/ })).toBeTruthy();
  fireEvent.click(screen.getByLabelText("Steer b-20260101-120000-00fe"));
  fireEvent.click(screen.getByText("Resume"));
  expect(model.sent.at(-1)).toMatchObject({ kind: "command", run: "run1", command: "resume" });
  fireEvent.click(screen.getByLabelText("Show a-20260101-120000-00ff"));
  expect(model.traits.hidden).toEqual(["run0"]);
});

// --- what is drawn, before it is painted -----------------------------------------------------------------------------

function withCurve(values: number[], key = "run0", extra: Partial<Run> = {}): Run {
  const run = Object.assign(new Run(key, Number(key.slice(3))), { stream: key, title: key }, extra);
  run.curves.set("train/loss", {
    size: 1,
    points: values.length,
    step: Float64Array.from(values, (_, i) => i + 1),
    time: Float64Array.from(values, (_, i) => i / 10),
    mean: Float64Array.from(values),
    low: null,
    high: null,
    lowest: null,
    highest: null,
    last: null,
    window: null,
  });
  return run;
}
const VIEW: View = { axis: "step", smoothing: 0, logX: false, logY: false, zoom: null };
const line = (run: Run) => ({ run, name: "train/loss", label: run.title, colour: "train" });

test("the axes hold what is in view; logarithms leave out what has none", () => {
  const run = withCurve([100, 3, 2, Number.NaN, 0, 1]);
  const drawn = prepare([line(run)], "loss", VIEW, [run]);
  expect(axesOf(drawn, VIEW)!.y.high).toBeGreaterThan(100);
  const zoomed = axesOf(drawn, { ...VIEW, zoom: [3, 6] })!;
  expect(zoomed.x).toEqual({ low: 3, high: 6, log: false });
  expect(zoomed.y.high).toBeLessThan(4);
  const log = axesOf(drawn, { ...VIEW, logY: true, logX: true })!;
  expect(log.y.log && log.y.low > 0 && log.y.low < 1).toBe(true);
  expect(axesOf(prepare([line(withCurve([]))], "loss", VIEW, []), VIEW)).toBeNull();
  const below = withCurve([-1, -2]);
  expect(axesOf(prepare([line(below)], "loss", VIEW, [below]), { ...VIEW, logY: true })!.y.log).toBe(false);
});

test("a clone is drawn from where it left, if the first is beside it", () => {
  const first = withCurve([5, 4, 3, 2]);
  const second = withCurve([5, 4, 1, 0], "run1", { clonedFrom: { key: "run0", step: 3 } });
  expect(branchOf(second, [second])).toBeNull();
  const [drawn] = prepare([line(second)], "loss", VIEW, [first, second]);
  expect([...drawn!.x]).toEqual([3, 4]);
});

test("smoothing starts at the first value and NaN passes by", () => {
  expect([...smoothed(Float64Array.from([1, Number.NaN, 1]), 0.5)]).toEqual([1, 1, 1]);
  const values = Float64Array.from({ length: 50 }, (_, i) => i);
  expect([...smoothed(values, 0)]).toEqual([...values]);
  expect(smoothed(values, 0.9)[49]!).toBeLessThan(49);
});

test("families, the usual ones, short names and what differs", () => {
  const run = new Run("run0", 0);
  run.families = { f1: ["train/f1"], lr: ["lr"], loss: ["train/loss", "valid/loss"], "layers/0": ["layers/0"] };
  expect([...families([run]).keys()]).toEqual(["loss", "f1", "layers/0", "lr"]);
  expect(usual(["loss", "a", "b", "c", "d", "e", "f", "lr"])).toEqual(["loss", "a", "b", "c", "d", "lr"]);
  const named = ["a-20260101-120000-00ff", "a-20260101-120001-00fe", "b-20260101-120002-00fd"].map((title, i) =>
    Object.assign(new Run(`run${i}`, i), { title, settings: { lr: i, batch: 3 } }),
  );
  expect([...labelsOf(named).values()]).toEqual(["a 00ff", "a 00fe", "b"]);
  expect(differing(named)).toEqual(["lr"]);
});
