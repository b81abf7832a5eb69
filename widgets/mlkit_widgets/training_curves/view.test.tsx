import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { pack } from "../../shared/codec";
import { FakeModel } from "../../shared/fake-model";
import { Channel } from "../../shared/model";
import { bestIndex, families, Run } from "./run";
import { TrainingCurves } from "./view";

// A canvas that draws nothing: what is drawn is looked at in a real browser (tests/ui).
vi.mock("uplot", () => {
  class Plot {
    static join = (tables: unknown[]) => tables;
    width = 300;
    cursor = {};
    scales = { x: { min: 0, max: 1 } };
    data = [[]];
    setData() {}
    setSize() {}
    setCursor() {}
    destroy() {}
  }
  return { default: Plot };
});
vi.stubGlobal("requestAnimationFrame", (callback: () => void) => setTimeout(callback, 0));
vi.stubGlobal("cancelAnimationFrame", clearTimeout);

const TRAITS = { x: "step", smoothing: 0.5, log_y: false, metrics: null, _picture: "" };

interface Update {
  stream?: string;
  series?: Record<string, [start: number, values: number[]]>;
  events?: { start: number; items: object[] };
  status?: object;
  reachable?: [boolean, string];
  more?: boolean;
}

function update(model: FakeModel, { series = {}, status = {}, ...rest }: Update): void {
  const array = (values: number[]) => ({ data: Float64Array.from(values), dtype: "float64", shape: [values.length] });
  const [tree, buffers] = pack({
    kind: "update",
    stream: "a",
    title: "digits",
    events: { start: 0, items: [] },
    reachable: [true, ""],
    more: false,
    ...rest,
    status: { state: "running", step: 3, steps: 10, epoch: 1, epochs: 2, lr: 0.01, ...status },
    series: Object.entries(series).map(([name, [start, values]]) => ({
      name,
      start,
      steps: array(values.map((_, i) => start + i)),
      times: array(values.map((_, i) => (start + i) / 10)),
      values: array(values),
    })),
  });
  model.receive(
    tree,
    buffers.map((buffer) => new DataView(buffer)),
  );
}

function open() {
  const model = new FakeModel({ ...TRAITS });
  const run = new Run(new Channel(model));
  return { model, run };
}

async function show(first: Update = {}) {
  const { model, run } = open();
  render(<TrainingCurves run={run} model={model} />);
  const say = async (next: Update) => {
    await act(async () => {
      update(model, next);
      await new Promise((resolve) => setTimeout(resolve, 20));
    });
  };
  await say(first);
  return { model, run, say };
}

afterEach(cleanup);

test("it asks for everything at once, and for the missing part after a gap", () => {
  const { model, run } = open();
  expect(model.sent).toEqual([{ kind: "sync", stream: null, have: {}, events: 0 }]);
  update(model, { series: { "train/loss": [0, [3, 2]] } });
  vi.useFakeTimers({ now: Date.now() + 5000 });
  update(model, { series: { "train/loss": [5, [1]] } });
  vi.useRealTimers();
  expect([...run.series.get("train/loss")!.value()]).toEqual([3, 2]);
  expect(model.sent.at(-1)).toEqual({ kind: "sync", stream: "a", have: { "train/loss": 2 }, events: 0 });
  run.close();
});

test("when the kernel has more it is asked on, and another run starts anew", () => {
  const { model, run } = open();
  update(model, { series: { lr: [0, [1, 2, 3]] }, more: true });
  expect(model.sent).toHaveLength(2);
  update(model, { stream: "b", series: { lr: [0, [7]] } });
  expect([...run.series.get("lr")!.value()]).toEqual([7]);
  run.close();
});

test("buttons fit the state: what cannot be done now is marked as disabled and sends nothing", async () => {
  const { model, say } = await show();
  const enabled = () =>
    screen
      .getAllByRole("button")
      .filter((button) => button.getAttribute("aria-disabled") !== "true")
      .map((button) => button.textContent);
  expect(screen.getByRole("status").textContent).toBe("Running");
  expect(enabled()).toEqual(["Pause", "Stop", "Save checkpoint"]);
  fireEvent.click(screen.getByText("Resume"));
  expect(model.sent.filter((message) => message.kind === "command")).toEqual([]);
  fireEvent.click(screen.getByText("Pause"));
  expect(model.sent.at(-1)).toMatchObject({ kind: "command", command: "pause" });
  await say({ status: { state: "paused" } });
  expect(enabled()).toEqual(["Resume", "Step", "Stop", "Save checkpoint"]);
  await say({ status: { state: "finished" }, reachable: [false, "The training has finished."] });
  expect(enabled()).toEqual([]);
  expect(screen.queryByText("The training has finished.")).toBeNull();
});

test("a run that buttons cannot reach says so in words", async () => {
  await show({ reachable: [false, "This training holds the cell itself."] });
  expect(screen.getByText("This training holds the cell itself.")).toBeTruthy();
  for (const button of screen.getAllByRole("button")) expect(button.getAttribute("aria-disabled")).toBe("true");
  expect(screen.getByLabelText<HTMLInputElement>("Learning rate").readOnly).toBe(true);
});

test("the learning rate is sent on Enter as a number; nonsense is explained and not sent", async () => {
  const { model } = await show();
  const field = screen.getByLabelText<HTMLInputElement>("Learning rate");
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

test("a refused command and an ended run are shown as text, never as markup", async () => {
  const { model, say } = await show();
  fireEvent.click(screen.getByText("Stop"));
  const { id } = model.sent.at(-1)!;
  await act(async () => model.receive({ kind: "reply", id, ok: false, error: "<b>no</b>" }));
  expect(screen.getByRole("alert").textContent).toBe("<b>no</b>");
  await say({ status: { state: "failed", error: "ShapeError: <img src=x>" } });
  expect(screen.getByText("ShapeError: <img src=x>")).toBeTruthy();
  expect(document.querySelector("img")).toBeNull();
});

test("one panel for each metric, in a fixed order; options are shared through the model", async () => {
  const { model } = await show({
    series: { lr: [0, [1]], "valid/loss": [0, [2]], "train/loss": [0, [3]], "train/accuracy": [0, [0.5]] },
  });
  expect([...document.querySelectorAll(".panel .title")].map((title) => title.textContent)).toEqual([
    "loss",
    "accuracy",
    "learning rate",
  ]);
  fireEvent.change(screen.getByLabelText("Along"), { target: { value: "time" } });
  fireEvent.click(screen.getByLabelText("Log loss"));
  expect(model.traits).toMatchObject({ x: "time", log_y: true });
  expect(model.saved).toBe(2);
});

test("families and the best value", () => {
  expect([...families(["train/f1", "lr", "train/loss"], null).keys()]).toEqual(["loss", "f1", "lr"]);
  expect([...families(["train/loss", "lr"], ["lr", "nothing"]).keys()]).toEqual(["lr"]);
  const values = Float64Array.from([2, Number.NaN, 1, 3]);
  expect(bestIndex(values, "loss")).toBe(2);
  expect(bestIndex(values, "accuracy")).toBe(3);
  expect(bestIndex(new Float64Array([Number.NaN]), "loss")).toBe(-1);
});
