import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeModel } from "../../shared/fake-model";
import { Graph, type GraphDocument } from "../../shared/graph";
import { layOut } from "../../shared/layout";
import { Channel } from "../../shared/model";
import { find, GraphInspector, neighbour } from "./view";

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
  model = new FakeModel({ _graph: DOCUMENT, expanded: [], selected: "", height: 400, _picture: "" });
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
  expect(screen.getByText("25.0%")).toBeTruthy();
  expect(screen.queryByText("-1.5")).toBeNull(); // the picture says it
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
