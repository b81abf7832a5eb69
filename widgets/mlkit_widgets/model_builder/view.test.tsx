import { act, cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeModel } from "../../shared/fake-model";
import { Channel } from "../../shared/model";
import { cardPlace } from "./canvas";
import { highlight, lineOf } from "./code";
import { Editor, isModelText, read, settings, shapeText, write } from "./editor";
import { search } from "./palette";
import { ModelBuilder } from "./view";

vi.stubGlobal(
  "ResizeObserver",
  class {
    observe() {}
    unobserve() {}
    disconnect() {}
  },
);
vi.stubGlobal(
  "DOMMatrixReadOnly",
  class {
    m22 = 1;
  },
);

const PALETTE = {
  groups: [
    {
      name: "Inputs",
      blocks: [
        {
          name: "Input",
          kind: "input",
          doc: "What comes in",
          in: [],
          out: ["output"],
          properties: [{ name: "shape", type: "any", required: true }],
        },
        { name: "Output", kind: "output", doc: "What goes out", in: ["input"], out: [], properties: [] },
      ],
    },
    {
      name: "Linear",
      blocks: [
        {
          name: "Linear",
          kind: "module",
          doc: "input @ weight.T + bias",
          in: ["input"],
          out: ["output"],
          properties: [
            { name: "in_features", type: "int", required: true, low: 1 },
            { name: "out_features", type: "int", required: true, low: 1 },
            { name: "bias", type: "bool", default: true },
          ],
        },
      ],
    },
    {
      name: "Dropout",
      blocks: [
        {
          name: "Dropout",
          kind: "module",
          doc: "Zeros at random",
          in: ["input"],
          out: ["output"],
          properties: [{ name: "p", type: "float", default: 0.5, low: 0, high: 1 }],
        },
      ],
    },
  ],
};
const DOCUMENT = {
  format: "mlkit.model",
  version: 1,
  name: "Net",
  blocks: [
    { name: "x", type: "Input", properties: { shape: ["batch", 4] } },
    { name: "linear", type: "Linear", properties: { in_features: 5, out_features: 2 } },
    { name: "output", type: "Output" },
  ],
  links: [
    { from: "x.output", to: "linear.input" },
    { from: "linear.output", to: "output.input" },
  ],
  positions: { x: [0, 0], linear: [0, 90], output: [0, 180] },
  graphs: [],
  notes: [],
};
const SHAPES = {
  Net: {
    values: { "x.output": [["N", 4], ""] },
    problems: [
      {
        block: "linear",
        message: "4 != 5",
        link: "x.output -> linear.input",
        came: ["N", 4],
        wanted: ["N", "*", 5],
        repairs: ["Set in_features of linear to 4"],
      },
      {
        block: "output",
        message: "Nothing is linked to input.",
        link: null,
        came: null,
        wanted: null,
        repairs: [],
        open: true,
      },
    ],
    costs: {},
    total: [12, 10, 48, 8],
    ports: {},
  },
};
const EMPTY = { ...DOCUMENT, blocks: [], links: [], positions: {} };

let model: FakeModel;
let editor: Editor;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "cancelAnimationFrame"] });
  model = new FakeModel({
    _palette: PALETTE,
    _document: DOCUMENT,
    _shapes: SHAPES,
    _history: { undo: "Add Linear", redo: "", steps: 1 },
    _code: { text: "class Net: pass", library: "mlkit", missing: "", warnings: [] },
    _training: {
      chosen: {
        data: "digits",
        loss: "mse",
        optimizer: "sgd",
        lr: 0.1,
        epochs: 3,
        batch_size: 8,
        model_name: "",
        run_name: "",
      },
      data: { digits: "digits" },
      losses: { mse: "Mean squared error" },
      optimizers: { sgd: "SGD" },
      sample: "(N, 4)",
      objections: [{ message: "It gives 2 numbers.", repair: "Set out_features" }],
    },
    height: 500,
    _picture: "",
  });
});
afterEach(() => {
  cleanup();
  editor.close();
  vi.useRealTimers();
});

async function show() {
  editor = new Editor(model, new Channel(model));
  render(<ModelBuilder editor={editor} />);
  await act(() => vi.advanceTimersByTime(100));
}
const steps = () => model.sent.filter(({ kind }) => kind === "step");
async function reply(more: Record<string, unknown> = {}) {
  await act(async () => {
    model.receive({ kind: "reply", ok: true, id: model.sent.at(-1)!.id, ...more });
    await vi.advanceTimersByTimeAsync(100);
  });
}

test("blocks and entries of the palette carry their class as their name", async () => {
  await show();
  const canvas = screen.getByRole("region", { name: "Model canvas" });
  expect(within(canvas).getByLabelText("Linear")).toBeTruthy();
  expect(
    within(screen.getByRole("region", { name: "Palette" })).getAllByRole("button", { name: "Linear" }),
  ).toBeTruthy();
});

test("what is wrong is counted, what is only not linked is not", async () => {
  await show();
  expect(screen.getByRole("button", { name: "⚠ 1 problem" })).toBeTruthy();
  expect(screen.getByText(/1 block\s+to link/)).toBeTruthy();
  const block = document.querySelector("[data-id='linear'] .block")!;
  expect(block.hasAttribute("data-problem")).toBe(true);
  fireEvent.click(block.querySelector(".problem button")!);
  expect(steps().at(-1)).toMatchObject({ do: "repair", block: "linear", number: 0, graph: "Net" });
});

test("Enter in the search adds the first entry found, behind what was added before", async () => {
  await show();
  const field = screen.getByRole("searchbox", { name: "Search blocks" });
  fireEvent.change(field, { target: { value: "drop" } });
  await act(async () => {
    fireEvent.keyDown(field, { key: "Enter" });
    fireEvent.keyDown(field, { key: "Enter" });
    await vi.advanceTimersByTimeAsync(1);
  });
  expect(steps()).toHaveLength(1); // the second waits for the answer to the first
  expect(steps()[0]).toMatchObject({ do: "add", type: "Dropout" });
  await reply({ select: ["dropout"] });
  expect(steps().at(-1)).toMatchObject({ do: "add", type: "Dropout", after: "dropout" });
});

test("what was added is what the next goes behind, though the canvas has not said yet that it is chosen", async () => {
  await show();
  const field = screen.getByRole("searchbox", { name: "Search blocks" });
  fireEvent.change(field, { target: { value: "drop" } });
  const enter = () => act(async () => fireEvent.keyDown(field, { key: "Enter" }));
  await enter();
  await reply({ select: ["dropout"] }); // everything is drawn anew, the document with it has not come yet
  await enter();
  expect(steps().at(-1)).toMatchObject({ do: "add", type: "Dropout", after: "dropout" });
});

test("an answer that says no is shown, and a step that cannot be is not sent", async () => {
  await show();
  fireEvent.click(screen.getByRole("button", { name: "Redo" }));
  expect(steps()).toHaveLength(0);
  fireEvent.click(screen.getByRole("button", { name: "Undo" }));
  await reply({ ok: false, error: "That cannot be undone." });
  expect(screen.getByRole("alert").textContent).toBe("That cannot be undone.");
});

test("an empty canvas says what to do and offers models", async () => {
  model.traits._document = EMPTY;
  await show();
  expect(screen.getByRole("heading", { name: "Drag a block here" })).toBeTruthy();
  fireEvent.click(screen.getByRole("button", { name: "CNN" }));
  expect(steps().at(-1)).toMatchObject({ do: "template", name: "CNN" });
});

test("training waits for what stands in its way, then shows its curves", async () => {
  await show();
  fireEvent.click(screen.getByRole("tab", { name: "Train" }));
  const train = screen.getByRole("button", { name: "Train" });
  expect(train.getAttribute("aria-disabled")).toBe("true");
  fireEvent.click(screen.getByRole("button", { name: "Set out_features" }));
  expect(steps().at(-1)).toMatchObject({ do: "overcome", number: 0 });
  await act(async () => {
    model.receive({
      kind: "training",
      state: "running",
      error: "",
      step: 5,
      steps: 10,
      epoch: 0,
      epochs: 2,
      curves: {
        "train/loss": [
          [1, 2, 3],
          [3, null, 1],
        ],
      },
      last: { "train/loss": 1 },
      health: {
        "Net/linear": { mean: 0.5, std: 1, zeros: 0, bins: [1, 0.5], gradient: 0, words: "gradient vanishes" },
      },
    });
    await vi.advanceTimersByTimeAsync(100);
  });
  expect(screen.getByRole("img", { name: "train loss 1" })).toBeTruthy();
  expect(screen.getByText("epoch 1 of 2 · step 5 of 10")).toBeTruthy();
  expect(document.querySelector("[data-id='linear'] .pulse")!.textContent).toBe("⚠ gradient vanishes");
});

test("edited code goes to Python after a pause, and an error stands at its line", async () => {
  await show();
  fireEvent.click(screen.getByRole("tab", { name: "Code" }));
  fireEvent.change(screen.getByRole("textbox", { name: "Code" }), { target: { value: "class Net:\n  x = y" } });
  expect(steps()).toHaveLength(0);
  await act(() => vi.advanceTimersByTimeAsync(2000));
  expect(steps().at(-1)).toMatchObject({ do: "code", text: "class Net:\n  x = y" });
  await reply({ ok: false, error: "line 2: this cannot be read" });
  expect(document.querySelector(".numbers [data-mark='bad']")!.textContent).toBe("2");
});

test("copied blocks are a document that another canvas can paste", async () => {
  await show();
  const text = editor.copy(editor.graph("Net"), new Set(["x", "linear"]));
  expect(isModelText(text)).toBe(true);
  expect(JSON.parse(text).links).toEqual([{ from: "x.output", to: "linear.input" }]);
  expect(isModelText('{"format": "other"}')).toBe(false);
});

test("properties are read as they are written", () => {
  const of = (type: string, more = {}) => ({ name: "kernel_size", type, ...more });
  expect(read("3", of("int"))).toBe(3);
  expect(read("3, 5", of("ints"))).toEqual([3, 5]);
  expect(read("(3, 5)", of("ints"))).toEqual([3, 5]);
  expect(read("same", of("ints"))).toBe("same");
  expect(read("N, 1, 8", { name: "shape", type: "any" })).toEqual(["batch", 1, 8]);
  expect(read("None", of("int"))).toBe(null);
  expect(() => read("3.5", of("int"))).toThrow("a whole number");
  expect(() => read("0", of("int", { low: 1 }))).toThrow("1 or more");
  expect(() => read("2", of("float", { low: 0, high: 1 }))).toThrow("0 to 1");
  expect(write([3, 5])).toBe("3, 5");
  expect(shapeText(["N", 1, 8])).toBe("N×1×8");
  expect(settings({ name: "c", type: "Conv2d", properties: { in_channels: 1, out_channels: 8, kernel_size: 3 } })).toBe(
    "1 → 8, kernel_size 3",
  );
});

test("the palette finds by name first, then by what is said", () => {
  const types = PALETTE.groups.flatMap(({ name, blocks }) => blocks.map((block) => ({ ...block, group: name })));
  expect(search(types, "put").map(({ name }) => name)).toEqual(["Input", "Output", "Linear"]);
  expect(search(types, "random")[0]!.name).toBe("Dropout");
  expect(search(types, "nothing here")).toEqual([]);
});

test("code is marked without a letter lost", () => {
  const code = 'class A:  # words\n    x = "text" + str(3)\n';
  const texts = highlight(code).map((part) =>
    typeof part === "string" ? part : (part as { props: { children: string } }).props.children,
  );
  expect(texts.join("")).toBe(code);
  expect(lineOf("line 12: no")).toBe(12);
});

test("a repair is offered where it can be seen whole", () => {
  const view = { x: 0, y: 0, zoom: 1, wide: 700, high: 500 };
  const at = (x: number, y: number, more = {}) => cardPlace({ x, y, high: 54 }, { ...view, ...more });
  expect(at(100, 100)).toBe("right");
  expect(at(480, 100)).toBe("left");
  expect(at(100, 430)).toBe("right raised");
  expect(at(480, 430)).toBe("left raised");
  expect(at(60, 100, { wide: 330 })).toBe("below 0");
  expect(at(180, 100, { wide: 330 })).toBe("below -50");
  expect(at(-40, 100, { wide: 330 })).toBe("below 44");
  expect(at(60, 405, { wide: 330 })).toBe("above 0");
  expect(at(170, 380, { wide: 600 })).toBe("above 0"); // not behind the overview in the corner
  expect(at(480, 100, { x: -300 })).toBe("right"); // the canvas was moved
  expect(at(480, 100, { zoom: 0.5 })).toBe("right");
});

test("an entry that is dragged out of the builder is code", async () => {
  const palette = structuredClone(PALETTE) as { groups: { name: string; blocks: Record<string, unknown>[] }[] };
  palette.groups[1]!.blocks[0]!.code = "nn.Linear(in_features=..., out_features=...)";
  model.traits._palette = palette;
  await show();
  const entry = (name: string) => within(screen.getByRole("region", { name: "Palette" })).getByRole("button", { name });
  const data: Record<string, string> = {};
  const dataTransfer = { setData: (kind: string, text: string) => (data[kind] = text) };
  fireEvent.dragStart(entry("Linear"), { dataTransfer });
  expect(data["text/plain"]).toBe("nn.Linear(in_features=..., out_features=...)");
  expect(data["application/x-mlkit-block"]).toBe("Linear");
  fireEvent.dragStart(entry("Dropout"), { dataTransfer });
  expect(data["text/plain"]).toBe("Dropout");
});

test("a document of its own says where its weights stay, and offers a notebook", async () => {
  model.traits._home = { kind: "document" };
  await show();
  fireEvent.click(screen.getByRole("tab", { name: "Train" }));
  expect(screen.queryByLabelText("Model variable")).toBeNull();
  expect(screen.getByText(/the weights live there until the document is closed/)).toBeTruthy();
  expect(screen.queryByText(/Your own layers are blocks too/)).toBeNull();
  const button = screen.getByRole("button", { name: "Open the trained model in a notebook" });
  fireEvent.click(button);
  expect(steps()).toEqual([]); // nothing has been trained yet
  await act(async () => {
    model.receive({ kind: "training", state: "finished", error: "", curves: { "train/loss": [[1], [2]] }, last: {} });
    await vi.advanceTimersByTimeAsync(100);
  });
  fireEvent.click(button);
  expect(steps()).toMatchObject([{ do: "notebook" }]);
});
