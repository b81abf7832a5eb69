import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { type NdArray, pack } from "../../shared/codec";
import { FakeModel } from "../../shared/fake-model";
import { Channel } from "../../shared/model";
import { nameOf, pictureOf, describe as words } from "./network";
import { colour, mixedPixels, pixelsOf, refine } from "./paint";
import { Playing, type State } from "./state";
import { Playground } from "./view";

vi.stubGlobal("requestAnimationFrame", (callback: () => void) => setTimeout(callback, 0));
vi.stubGlobal("cancelAnimationFrame", clearTimeout);
vi.stubGlobal(
  "ResizeObserver",
  class {
    observe() {}
    disconnect() {}
  },
);
// What is drawn on a canvas is looked at in a real browser (tests/ui).
HTMLCanvasElement.prototype.getContext = (() => null) as never;
afterEach(cleanup);

const TITLES = { x: "x", y: "y", x2: "x²" };
const TRAITS = {
  dataset: "circles",
  samples: 200,
  noise: 0.1,
  train_share: 0.5,
  features: ["x", "y"],
  layers: [3, 1],
  activation: "tanh",
  optimizer: "adam",
  lr: 0.03,
  regularization: "none",
  regularization_rate: 0.001,
  batch_size: 10,
  speed: "normal",
  playing: false,
  show_test: false,
  discrete: false,
  _about: { own: false, toys: ["circles", "xor", "plane"], features: TITLES, most: [6, 8], extent: 3 },
}; // prettier-ignore

const floats = (values: number[], shape = [values.length]): NdArray => ({
  data: Float32Array.from(values),
  dtype: "float32",
  shape,
});
const bytes = (many: number): NdArray => ({ data: new Int8Array(many * 2500), dtype: "int8", shape: [many, 50, 50] });

function state(more: Partial<State> = {}): State {
  return {
    steps: 7,
    epoch: 0.7,
    loss: { train: 0.5, test: 0.625 },
    accuracy: { train: 0.9, test: 0.8 },
    history: floats([0, 0.7, 0.7, 7, 0.5, 0.6], [2, 3]),
    sizes: [2, 3, 1, 1],
    features: ["x", "y"],
    pictures: bytes(7),
    scales: floats([3, 3, 1, 1, 1, 0.5, 2]),
    surface: bytes(1),
    weights: [floats([1, -2, 3, 4, 5, 6], [3, 2]), floats([0.1, 0.2, 0.3], [1, 3]), floats([-7], [1, 1])],
    biases: [floats([0.5, 0, 0]), floats([0]), floats([0.25])],
    trouble: "",
    ...more,
  };
}

const points = {
  xy: floats([0, 0, 1, 1], [2, 2]),
  target: floats([0, 1]),
  train: { data: Uint8Array.from([1, 0]), dtype: "uint8", shape: [2] },
  classes: ["<b>no</b>", "yes"],
  names: ["wide & tall", "y"],
  middle: [0, 0],
  half: [1, 1],
  value: [0, 1],
  kind: "classification",
};

async function show(more: Partial<State> = {}, traits = {}) {
  const model = new FakeModel({ ...TRAITS, ...traits });
  const playing = new Playing(new Channel(model));
  render(<Playground playing={playing} model={model} />);
  const say = async (message: object) => {
    await act(async () => {
      const [tree, buffers] = pack(message);
      model.receive(
        tree,
        buffers.map((buffer) => new DataView(buffer)),
      );
      await new Promise((resolve) => setTimeout(resolve, 20));
    });
  };
  await say({ kind: "state", ...state(more), points });
  return { model, playing, say };
}

test("it asks for the state, and shows steps, losses and the parameters", async () => {
  const { model } = await show();
  expect(model.sent[0]).toEqual({ kind: "sync" });
  expect(screen.getByRole("region", { name: "Playground" }).dataset.steps).toBe("7");
  expect(document.querySelector("[data-loss='test']")?.textContent).toBe("0.625");
  expect(document.querySelector("[data-accuracy='train']")?.textContent).toBe("90.0 %");
  expect(screen.getByText("15 parameters")).toBeTruthy();
});

test("layers and neurons come and go within their limits", async () => {
  const { model } = await show();
  fireEvent.click(screen.getByRole("button", { name: "Add a neuron to layer 1" }));
  expect(model.traits.layers).toEqual([4, 1]);
  fireEvent.click(screen.getByRole("button", { name: "Add a hidden layer" }));
  expect(model.traits.layers).toEqual([4, 1, 1]);
  fireEvent.click(screen.getByRole("button", { name: "Remove a hidden layer" }));
  const least = screen.getByRole("button", { name: "Remove a neuron from layer 2" });
  expect(least.getAttribute("aria-disabled")).toBe("true");
  fireEvent.click(least);
  expect(model.traits.layers).toEqual([4, 1]);
});

test("inputs are given in the page's order, and one always stays", async () => {
  const { model } = await show();
  fireEvent.click(screen.getByRole("button", { name: "Input x" }));
  expect(model.traits.features).toEqual(["y"]);
  fireEvent.click(screen.getByRole("button", { name: "Input y" }));
  expect(model.traits.features).toEqual(["y"]);
  fireEvent.click(screen.getByRole("button", { name: "Input x²" }));
  expect(model.traits.features).toEqual(["y", "x2"]);
});

test("Play is a trait, Step and Reset are messages", async () => {
  const { model } = await show();
  fireEvent.click(screen.getByRole("button", { name: "Play" }));
  expect(model.traits.playing).toBe(true);
  fireEvent.click(screen.getByRole("button", { name: "Step" }));
  fireEvent.click(screen.getByRole("button", { name: "Reset" }));
  expect(model.sent.map((message) => message.kind)).toEqual(["sync", "seen", "step", "reset"]);
});

test("a focused neuron tells its weights, and arrows go to the next", async () => {
  await show();
  const neuron = screen.getByRole("button", { name: "Layer 1, neuron 1" });
  act(() => neuron.focus());
  expect(document.querySelector(".about")?.textContent).toContain("bias 0.5; weights: x 1, y -2; goes up to ±1");
  fireEvent.keyDown(neuron, { key: "ArrowDown" });
  expect(document.activeElement?.getAttribute("aria-label")).toBe("Layer 1, neuron 2");
  fireEvent.keyDown(document.activeElement!, { key: "ArrowRight" });
  expect(document.activeElement?.getAttribute("aria-label")).toBe("Layer 2, neuron 1");
  expect(document.querySelectorAll(".unit[tabindex='0'][data-unit]:not([aria-pressed])")).toHaveLength(1);
});

test("names from the data are text", async () => {
  await show();
  expect(screen.getByText("<b>no</b>")).toBeTruthy();
  expect(document.querySelector(".legend b")).toBeNull();
  expect(screen.getByText("wide & tall")).toBeTruthy();
});

test("a rate set from Python is in the list; trouble is said aloud", async () => {
  await show({ trouble: "At step 3 the loss is no number any more" }, { lr: 0.042 });
  expect((screen.getByLabelText("Learning rate") as HTMLSelectElement).value).toBe("0.042");
  expect(screen.getByRole("alert").textContent).toContain("no number");
});

test("a regression has no accuracy, and a lost loss is NaN", async () => {
  await show({ accuracy: { train: null, test: null }, loss: { train: null, test: 1 } });
  expect(document.querySelector("[data-accuracy]")).toBeNull();
  expect(document.querySelector("[data-loss='train']")?.textContent).toBe("NaN");
});

test("the script comes from the kernel, for either library", async () => {
  const { model, say } = await show();
  fireEvent.click(screen.getByRole("button", { name: "Code" }));
  const asked = model.sent.at(-1)!;
  expect(asked).toMatchObject({ kind: "code", library: "mlkit" });
  await say({ kind: "reply", ok: true, id: asked.id, code: "import mlkit" });
  expect(screen.getByRole("region", { name: "Script" }).textContent).toBe("import mlkit");
  fireEvent.click(screen.getByLabelText("PyTorch"));
  expect(model.sent.at(-1)).toMatchObject({ kind: "code", library: "torch" });
});

test("pictures lie one column after the other, and neurons have names", () => {
  const now = state();
  expect(pictureOf(now.sizes, { column: 2, row: 0 })).toBe(5);
  expect(nameOf(now, TITLES, { column: 0, row: 1 })).toBe("input y");
  expect(nameOf(now, TITLES, { column: 3, row: 0 })).toBe("output");
  expect(words(now, TITLES, { column: 3, row: 0 })).toBe("bias 0.25; weights: neuron 1 -7; goes up to ±2");
});

test("a finer grid has the same corners and what lies between", () => {
  const fine = refine([0, 10, 20, 30], 2, 3);
  expect([...fine]).toEqual([0, 5, 10, 10, 15, 20, 20, 25, 30]);
});

test("colours: orange below zero, blue above, the ground between; sharp edges have two", () => {
  expect(colour(-1, "light")).toEqual([214, 106, 28]);
  expect(colour(0, "dark")).toEqual([33, 39, 47]);
  const pixels = pixelsOf([-127, 127, 3], "light");
  expect([...pixels.slice(0, 4)]).toEqual([214, 106, 28, 255]);
  expect([...pixels.slice(4, 7)]).toEqual([38, 99, 205]);
  const sharp = pixelsOf([3, -1], "light", true);
  expect(sharp[2]).toBeGreaterThan(sharp[0]!);
  expect(sharp[4]).toBeGreaterThan(sharp[6]!);
  const mixed = mixedPixels([Float32Array.from([127, 0]), Float32Array.from([0, 127])], "light", false);
  expect(mixed[0]).toBeGreaterThan(mixed[2]!);
  expect(mixed[4]).toBeLessThan(mixed[6]!);
});
