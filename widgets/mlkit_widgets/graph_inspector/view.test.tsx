import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeModel } from "../../shared/fake-model";
import { Graph, type GraphDocument } from "../../shared/graph";
import { layered } from "../../shared/layered";
import { LayoutCache, layOut, measure, type Picture } from "../../shared/layout";
import { Channel } from "../../shared/model";
import { between, whole } from "./camera";
import { svgOf } from "./export";
import { readIndex, shade } from "./number";
import { blend, fillOf } from "./paint";
import { positionText } from "./player";
import { elementsOf } from "./stage";
import { find, GraphInspector, neighbour } from "./view";
import { changeText } from "./what-if";

vi.stubGlobal(
  "ResizeObserver",
  class {
    observe() {}
    disconnect() {}
  },
);

/** images -> block.conv -> block.act -> add (with images) -> out */
const DOCUMENT: GraphDocument = {
  format: "mlkit.graph",
  version: 1,
  name: "Net",
  inputs: ["x"],
  outputs: ["y"],
  modules: [
    { path: "", type: "Net", parameters: 9 },
    { path: "block.conv", type: "Conv2d", parameters: 9, extra: "1, 1, kernel_size=(3, 3)" },
    { path: "block.act", type: "ReLU", parameters: 0 },
  ],
  values: [
    { id: "x", kind: "input", name: "images", shape: [4, 1, 8, 8], dtype: "float32" },
    { id: "w", kind: "parameter", name: "block.conv.weight", shape: [1, 1, 3, 3], dtype: "float32" },
    { id: "c", kind: "activation", shape: [4, 1, 8, 8], dtype: "float32" },
    { id: "r", kind: "activation", shape: [4, 1, 8, 8], dtype: "float32" },
    { id: "y", kind: "activation", shape: [4, 1, 8, 8], dtype: "float32" },
  ],
  nodes: [
    { id: "n0", op: "conv2d", module: "block.conv", inputs: ["x", "w"], outputs: ["c"], attrs: { stride: [1, 1] } },
    { id: "n1", op: "relu", module: "block.act", inputs: ["c"], outputs: ["r"] },
    {
      id: "n2",
      op: "add",
      module: "",
      inputs: ["r", "x"],
      outputs: ["y"],
      source: { file: "net.py", line: 7, code: "y = r + x" },
    },
  ],
};

let model: FakeModel;
beforeEach(() => {
  model = new FakeModel({
    _graph: DOCUMENT,
    expanded: [],
    selected: "",
    height: 400,
    show: "",
    direction: "forward",
    step: -1,
    trace: [],
    changes: [],
    _backward: {},
    _effect: {},
    _error: "",
    _picture: "",
  });
});
afterEach(cleanup);

const show = () => render(<GraphInspector model={model} channel={new Channel(model)} />);
const names = () => [...document.querySelectorAll("[data-node]")].map((node) => node.getAttribute("aria-label"));

test("a level holds its modules and operations, and what flows between them", () => {
  const graph = new Graph(DOCUMENT);
  expect(graph.level("")).toEqual({
    items: ["m:block", "in:x", "n:n2", "out:y"],
    flows: [
      { from: "in:x", to: "m:block", values: ["x"] },
      { from: "m:block", to: "n:n2", values: ["r"] },
      { from: "in:x", to: "n:n2", values: ["x"] },
      { from: "n:n2", to: "out:y", values: ["y"] },
    ],
  });
  expect(graph.level("block").flows.map(({ from, to }) => `${from} ${to}`)).toEqual([
    "in:x m:block.conv",
    "m:block.conv m:block.act",
    "m:block.act out:r",
  ]);
  expect(graph.held(graph.modules.get("block")!).map((value) => value.name)).toEqual(["block.conv.weight"]);
});

test("a layout has no overlaps between siblings and keeps insides inside", () => {
  const graph = new Graph(DOCUMENT);
  const picture = layOut(graph, new Set(["block", "block.conv"]));
  const place = (id: string) => picture.items.find((item) => item.id === id)!;
  const within = (a: string, b: string) => {
    const [inner, outer] = [place(a), place(b)];
    return (
      inner.x >= outer.x &&
      inner.y >= outer.y &&
      inner.x + inner.width <= outer.x + outer.width &&
      inner.y + inner.height <= outer.y + outer.height
    );
  };
  expect(within("n:n0", "m:block.conv") && within("m:block.conv", "m:block")).toBe(true);
  expect(place("m:block.act").y).toBeGreaterThan(place("m:block.conv").y + place("m:block.conv").height);
  expect(place("n:n2").y).toBeGreaterThan(place("m:block").y + place("m:block").height);
});

test("nodes are named by module path or operation and output shape", () => {
  show();
  expect(names()).toEqual(["block, output 4×1×8×8", "add, output 4×1×8×8"]);
});

test("Enter opens and closes a module, arrows and Escape move, and the focus stays", () => {
  show();
  const block = screen.getByRole("button", { name: /^block,/ });
  expect(block.getAttribute("tabindex")).toBe("0");
  block.focus();
  fireEvent.keyDown(block, { key: "Enter" });
  expect(model.traits.expanded).toEqual(["block"]);
  expect(block.getAttribute("aria-expanded")).toBe("true");
  expect(document.activeElement).toBe(block);
  fireEvent.keyDown(block, { key: "ArrowDown" });
  expect(document.activeElement?.getAttribute("aria-label")).toBe("block.conv, Conv2d, output 4×1×8×8");
  fireEvent.keyDown(document.activeElement!, { key: "Escape" });
  expect(document.activeElement).toBe(block);
  fireEvent.keyDown(block, { key: "Enter" });
  expect(model.traits.expanded).toEqual([]);
});

test("a selected operation shows where it comes from, and its tensor when the kernel has answered", async () => {
  vi.useFakeTimers();
  show();
  fireEvent.click(screen.getByRole("button", { name: /^add,/ }));
  expect(screen.getByText("net.py, line 7")).toBeTruthy();
  expect(screen.getByText("y = r + x")).toBeTruthy();
  await act(async () => vi.advanceTimersByTime(100));
  expect(model.sent.at(-1)).toMatchObject({ kind: "tensor", value: "y" });
  await act(async () =>
    model.receive({
      kind: "tensor",
      value: "y",
      html: "<b>picture</b>",
      statistics: { min: -1.5, zeros: "25.0%" },
      missing: null,
    }),
  );
  expect(document.querySelector(".tensor .html b")?.textContent).toBe("picture");
  expect(screen.queryByText("-1.5")).toBeNull(); // the tensor's own display says it
  vi.useRealTimers();
});

test("search finds modules by path and type and operations by name, and Enter reveals one", () => {
  expect(find(new Graph(DOCUMENT), "conv")).toEqual(["m:block.conv", "n:n0"]);
  show();
  const field = screen.getByLabelText("Search modules and operations");
  fireEvent.change(field, { target: { value: "conv" } });
  expect(screen.getByRole("status").textContent).toContain("2 matches");
  fireEvent.keyDown(field, { key: "Enter" });
  expect(model.traits).toMatchObject({ expanded: ["block"], selected: "m:block.conv" });
  fireEvent.keyDown(field, { key: "Enter" });
  expect(model.traits).toMatchObject({ expanded: ["block", "block.conv"], selected: "n:n0" });
});

test("expand all and collapse all", () => {
  show();
  fireEvent.click(screen.getByText("Expand all"));
  expect(model.traits.expanded).toEqual(["block", "block.conv", "block.act"]);
  expect(names()).toContain("conv2d in block.conv, output 4×1×8×8");
  fireEvent.click(screen.getByText("Collapse all"));
  expect(model.traits.expanded).toEqual([]);
});

test("the neighbour in a direction is the one straight ahead", () => {
  const at = (id: string, x: number, y: number) =>
    ({ id, kind: "op", x, y, width: 10, height: 10, depth: 0, title: "", subtitle: "" }) as const;
  const items = [at("a", 0, 0), at("b", 0, 50), at("c", 60, 30), at("d", 60, 0)];
  expect(neighbour(items, items[0]!, "ArrowDown")?.id).toBe("b");
  expect(neighbour(items, items[0]!, "ArrowRight")?.id).toBe("d");
  expect(neighbour(items, items[0]!, "ArrowUp")).toBeNull();
});

/** Twelve blocks of four operations with a way around, in a container of their own. */
function twelve(): GraphDocument {
  const document: GraphDocument = {
    format: "mlkit.graph",
    version: 1,
    name: "Deep",
    inputs: ["x"],
    outputs: [],
    modules: [
      { path: "h", place: "h", type: "ModuleList", fold: { type: "Block", times: 12, first: "h.0", last: "h.11" } },
    ],
    values: [{ id: "x", kind: "input", name: "input", shape: [2, 8], dtype: "float32", bytes: 64 }],
    nodes: [],
  };
  let last = "x";
  for (let block = 0; block < 12; block++) {
    document.modules.push({ path: `h.${block}`, place: `h.${block}`, type: "Block" });
    const before = last;
    for (const op of ["norm", "linear", "gelu", "add"]) {
      const id = `${op}${block}`;
      document.values.push({ id, kind: "activation", shape: [2, 8], dtype: "float32", bytes: 64 });
      const inputs = op === "add" ? [last, before] : [last];
      const module = op === "linear" ? `h.${block}.mlp` : `h.${block}`;
      document.nodes.push({
        id: `n_${id}`,
        op,
        module,
        place: module,
        inputs,
        outputs: [id],
        seconds: block === 3 ? 0.1 : 0.01,
      });
      last = id;
    }
  }
  document.outputs = [last];
  return document;
}

/** For every two items in both pictures: which is left of, above, right of, below the other. */
function order(picture: Picture, ids: string[]): string[] {
  const at = new Map(picture.items.map((item) => [item.id, item]));
  return ids.flatMap((a) =>
    ids.map((b) => {
      const [one, two] = [at.get(a)!, at.get(b)!];
      const [dx, dy] = [one.x + one.width / 2 - two.x - two.width / 2, one.y - two.y];
      return `${a} ${b} ${Math.abs(dy) < 1 ? "level" : dy < 0 ? "above" : "below"} ${Math.abs(dy) < 1 ? Math.sign(dx) : ""}`;
    }),
  );
}

test("what stays keeps its place relative to the rest, whatever is opened", () => {
  const graph = new Graph(twelve());
  const cache = new LayoutCache();
  let open = new Set<string>(["h"]);
  let before = layOut(graph, open, "", cache);
  const start = before.items.filter((item) => item.kind !== "port").map((item) => item.id);
  const blocks = start.filter((id) => id.startsWith("m:h."));
  expect(blocks).toHaveLength(12);
  for (const next of ["h.4", "h.4.mlp", "h.7", "h.0", "h.11"]) {
    open = new Set([...open, next]);
    const after = layOut(graph, open, "", cache);
    const columns = (picture: Picture) =>
      blocks.map((id) => {
        const item = picture.items.find((other) => other.id === id)!;
        return new Set(picture.items.filter((o) => blocks.includes(o.id) && o.x + o.width < item.x).map((o) => o.id))
          .size;
      });
    expect(columns(after)).toEqual(columns(before));
    const stay = start.filter((id) => after.items.some((item) => item.id === id));
    const inColumn = (picture: Picture, id: string) => {
      const item = picture.items.find((other) => other.id === id)!;
      return picture.items.filter(
        (o) => stay.includes(o.id) && Math.abs(o.x + o.width / 2 - item.x - item.width / 2) < 60 && o.y < item.y,
      ).length;
    };
    for (const id of stay) expect([id, inColumn(after, id)]).toEqual([id, inColumn(before, id)]);
    before = after;
  }
  const small = new Graph(DOCUMENT);
  const closed = layOut(small, new Set());
  const opened = layOut(small, new Set(["block", "block.conv"]));
  expect(order(opened, ["m:block", "n:n2"])).toEqual(order(closed, ["m:block", "n:n2"]));
});

test("a run of like blocks is one box with a number, and stands in columns when opened", () => {
  const graph = new Graph(twelve());
  const closed = layOut(graph, new Set());
  const fold = closed.items.find((item) => item.id === "m:h")!;
  expect([fold.title, fold.times]).toEqual(["Block × 12", 12]);
  expect(graph.nameOf("m:h")).toBe("h, Block × 12, h.0 to h.11, output 2×8");
  const opened = layOut(graph, new Set(["h"]));
  const frame = opened.items.find((item) => item.id === "m:h")!;
  expect(frame.width).toBeGreaterThan(frame.height / 3);
});

test("levels of one structure are laid out once", () => {
  const cache = new LayoutCache();
  const graph = new Graph(twelve());
  const all = new Set([...graph.modules.keys()].filter(Boolean));
  layOut(graph, all, "", cache);
  // the outermost level, the blocks in their columns, a block, and a block's inner module
  expect(cache.shapes.size).toBeLessThanOrEqual(8);
});

test("five thousand operations are laid out, in columns, without overlap", () => {
  const count = 5000;
  const sizes = Array.from({ length: count }, (_, i) => ({ width: 80 + (i % 5) * 10, height: 28 }));
  const edges = sizes.slice(1).map((_, i) => [i, i + 1] as [number, number]);
  for (let i = 0; i + 7 < count; i += 11) edges.push([i, i + 7]);
  const found = layered(sizes, edges);
  const places = sizes
    .map((size, i) => ({ ...size, x: found.x[i]!, y: found.y[i]! }))
    .sort((a, b) => a.x - b.x || a.y - b.y);
  const cells = new Map<string, number>();
  places.forEach(({ x, y }) => {
    const key = `${Math.round(x)} ${Math.round(y)}`;
    cells.set(key, (cells.get(key) ?? 0) + 1);
  });
  expect(Math.max(...cells.values())).toBe(1);
  expect(found.width / found.height).toBeGreaterThan(0.5);
  expect(found.width / found.height).toBeLessThan(4);
  const looped = layered(sizes.slice(0, 3), [
    [0, 1],
    [1, 2],
    [2, 0],
  ]); // prettier-ignore
  expect(looped.y).toEqual([0, 62, 124]);
});

test("the camera shows everything, and what moves is halfway at half time", () => {
  const picture = layOut(new Graph(twelve()), new Set(["h"]));
  const camera = whole(picture, { width: 700, height: 500 });
  for (const item of picture.items) {
    const [left, top] = [camera.x + item.x * camera.scale, camera.y + item.y * camera.scale];
    expect(left).toBeGreaterThanOrEqual(0);
    expect(top).toBeGreaterThanOrEqual(0);
    expect(left + item.width * camera.scale).toBeLessThanOrEqual(700);
    expect(top + item.height * camera.scale).toBeLessThanOrEqual(500);
  }
  const before = new Map(picture.items.map((item) => [item.id, { ...item, x: item.x + 100 }]));
  const half = between(before, picture, 0.5);
  expect(half.items[1]!.x).toBeCloseTo(picture.items[1]!.x + 50);
});

test("only what can be read is an element, and what is selected always is", () => {
  const graph = new Graph(twelve());
  const picture = layOut(graph, new Set([...graph.modules.keys()].filter(Boolean)));
  const size = { width: 600, height: 400 };
  const far = elementsOf(picture, { x: 0, y: 0, scale: 0.05 }, size, "n:n_gelu5");
  expect(far.map((item) => item.id)).toEqual(["n:n_gelu5"]);
  expect(elementsOf(picture, { x: 0, y: 0, scale: 0.05 }, size, "")).toHaveLength(1);
  const near = elementsOf(picture, { x: 0, y: 0, scale: 1 }, size, "");
  expect(near.length).toBeGreaterThan(1);
  expect(near.length).toBeLessThan(picture.items.length);
});

test("boxes say times and sizes when asked to", () => {
  const graph = new Graph(twelve());
  expect(measure(graph, "m:h.3", "time")).toBeCloseTo(0.4);
  expect(measure(graph, "m:h.3", "memory")).toBe(256);
  const shown = layOut(graph, new Set(["h"]), "time").items.find((item) => item.id === "m:h.3")!;
  expect(shown.note).toBe("400 ms");
  const op = layOut(graph, new Set(["h", "h.3"]), "output").items.find((item) => item.id === "n:n_add3")!;
  expect(op.note).toBe("2×8 float32");
});

test("an index is read, or what is wrong with it said", () => {
  expect(readIndex("1, 0, 3", [2, 1, 4])).toEqual([1, 0, 3]);
  expect(readIndex("[-1 0 -1]", [2, 1, 4])).toEqual([1, 0, 3]);
  expect(readIndex("", [])).toEqual([]);
  expect(readIndex("1, 0", [2, 1, 4])).toMatch("3 axes, the index has 2");
  expect(readIndex("1, 1, 3", [2, 1, 4])).toMatch("1 is outside axis 1");
  expect(readIndex("1, x, 3", [2, 1, 4])).toMatch("whole numbers");
});

test("colours say sign, size and what is not finite", () => {
  expect(shade(Number.NaN, -1, 1)).toEqual([224, 0, 138]);
  const [r, , b] = shade(-1, -1, 1);
  expect(b).toBeGreaterThan(r);
  const [r2, , b2] = shade(1, -1, 1);
  expect(r2).toBeGreaterThan(b2);
  expect(blend("#000000", "#ffffff", 0.5)).toBe("rgb(128 128 128)");
});

test("a change and a position are said in words", () => {
  const graph = new Graph(DOCUMENT);
  expect(changeText(graph, { target: "w", channel: 0, scale: 0 })).toBe("block.conv.weight, channel 0: set to zero");
  expect(changeText(graph, { target: "c", index: [0, 0, 1, 1], add: -2 })).toBe(
    "conv2d in block.conv[0, 0, 1, 1]: plus -2",
  );
  const ids = ["n0", "n1", "n2", "n2", "n1"];
  expect(positionText(graph, ids, 3, 0)).toBe("before the first operation");
  expect(positionText(graph, ids, 3, 1)).toBe("conv2d in block.conv → 4×1×8×8");
  expect(positionText(graph, ids, 3, 5)).toBe("gradient of relu in block.act");
});

test("the saved SVG holds every box and is well formed", () => {
  const graph = new Graph({ ...DOCUMENT, name: "<Net & \u0007>" });
  const picture = layOut(graph, new Set(["block"]));
  const names = "raised bg module op io hit strong line accent good bad heat change text quiet".split(" ");
  const colours = Object.fromEntries(names.map((name) => [name, "#808080"])) as never;
  const svg = svgOf(graph, picture, new Map([["n:n2", { failed: true }]]), colours, false);
  const parsed = new DOMParser().parseFromString(svg, "image/svg+xml");
  expect(parsed.querySelector("parsererror")).toBeNull();
  expect(parsed.documentElement.textContent).toContain("<Net & \ufffd>");
  expect(svg).toContain("Conv2d");
  expect(fillOf(picture.items.find((item) => item.id === "n:n2")!, { failed: true }, colours)).toBe("rgb(128 128 128)");
});

test("stepping selects the operation that runs, and shows pictures as values come", () => {
  show();
  fireEvent.click(screen.getByLabelText("To the start"));
  expect(model.traits).toMatchObject({ step: 0, show: "picture" });
  fireEvent.click(screen.getByLabelText("Next"));
  expect(model.traits).toMatchObject({ step: 1, selected: "n:n0", direction: "forward" });
  expect(screen.getByRole("button", { name: /^block,.*now/ })).toBeTruthy();
  expect(screen.getByRole("button", { name: /^add,.*not yet run/ })).toBeTruthy();
  fireEvent.change(screen.getByLabelText("Operations that have run"), { target: { value: "3" } });
  expect(model.traits).toMatchObject({ step: 3, selected: "n:n2" });
  fireEvent.click(screen.getByLabelText("Previous"));
  expect(model.traits.step).toBe(2);
});

test("backward asks for the gradients once, and the arrows turn", async () => {
  show();
  fireEvent.click(screen.getByText("Backward"));
  expect(model.sent.filter((message) => message.kind === "backward")).toHaveLength(1);
  expect(screen.getByText("Working out the gradients")).toBeTruthy();
  await act(async () => model.set("_backward", { of: "the loss", order: ["n2", "n1", "n0"], values: ["c", "r", "y"] }));
  expect(screen.queryByText("Working out the gradients")).toBeNull();
  expect(screen.getByText("6 / 6")).toBeTruthy();
  fireEvent.click(screen.getByLabelText("Previous"));
  expect(model.traits).toMatchObject({ step: 5, direction: "backward", selected: "n:n1" });
});

test("a number is followed back term by term, and the way back is there", async () => {
  vi.useFakeTimers();
  model.traits.selected = "n:n2";
  model.traits.trace = [{ value: "y", index: [0, 0, 1, 1] }];
  show();
  await act(async () => vi.advanceTimersByTime(100));
  expect(model.sent.at(-1)).toMatchObject({ kind: "explain", value: "y", index: [0, 0, 1, 1] });
  const cell = { value: "r", name: "r[0, 0, 1, 1]", index: [0, 0, 1, 1], number: 2 };
  const found = {
    value: "y",
    index: [0, 0, 1, 1],
    number: 5,
    total: 5,
    exact: true,
    title: "add: output[0, 0, 1, 1]",
    formula: "y = a + b",
    before: [],
    terms: null,
    after: [{ text: "2 + 3", number: 5, cells: [cell] }],
    note: null,
    regions: {},
  }; // prettier-ignore
  await act(async () => model.receive({ kind: "explain", value: "y", index: [0, 0, 1, 1], found }));
  expect(document.querySelector(".explained")?.getAttribute("data-total")).toBe("5");
  fireEvent.click(screen.getByText("r[0, 0, 1, 1]"));
  expect(model.traits.trace).toEqual([
    { value: "y", index: [0, 0, 1, 1] },
    { value: "r", index: [0, 0, 1, 1] },
  ]);
  expect(model.traits.selected).toBe("n:n1");
  fireEvent.click(screen.getByText("← Back"));
  expect(model.traits.trace).toEqual([{ value: "y", index: [0, 0, 1, 1] }]);
  fireEvent.click(screen.getByLabelText("Close the explanation"));
  expect(model.traits.trace).toEqual([]);
  vi.useRealTimers();
});

test("what is tried colours what it reaches, and is taken back", async () => {
  model.traits.changes = [{ target: "w", set: 0 }];
  model.traits._effect = { relative: { c: 0.5, r: 0.5, y: 0.1 }, words: "y changes by 10%", outputs: ["y"] };
  show();
  expect(screen.getByText(/y changes by 10%/)).toBeTruthy();
  expect(names()).toEqual(["block, output 4×1×8×8, changed", "add, output 4×1×8×8, changed"]);
  fireEvent.click(screen.getByText("Reset"));
  expect(model.traits.changes).toEqual([]);
});

test("an error and a NaN are said above the graph and marked in it", () => {
  model.traits._graph = {
    ...DOCUMENT,
    failed: "n2",
    error: { type: "ShapeError", message: "sizes differ\nmore", module: "" },
    outputs: [],
  };
  show();
  expect(screen.getByText("ShapeError")).toBeTruthy();
  expect(screen.getByRole("button", { name: /^add.*raised an error/ })).toBeTruthy();
  cleanup();
  const trouble = { node: "n1", value: "r", kind: "NaN", count: 3, words: "the first NaN comes from relu" };
  model = new FakeModel({ ...model.traits, _graph: { ...DOCUMENT, trouble } });
  show();
  fireEvent.click(screen.getByText("Show where"));
  expect(model.traits).toMatchObject({ selected: "n:n1", expanded: ["block", "block.act"] });
});
