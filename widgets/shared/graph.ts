/** The `mlkit.graph` document: a tree of modules with operations in it, and what flows between the items of one level. */

export interface GraphValue {
  id: string;
  kind: "input" | "parameter" | "buffer" | "constant" | "activation";
  name?: string | null;
  shape: (number | string)[];
  dtype: string;
  bytes?: number | null;
}

export interface GraphNode {
  id: string;
  op: string;
  module: string;
  /** Where it stands in the drawing, when that is not its module: inside a run of like blocks. */
  place?: string;
  composites?: string[];
  inputs: string[];
  outputs: string[];
  attrs?: Record<string, unknown>;
  source?: { file?: string; line?: number; code?: string } | null;
  seconds?: number | null;
}

export interface Fold {
  type: string;
  times: number;
  first: string;
  last: string;
}

export interface GraphModule {
  path: string;
  place?: string;
  /** Its children are all alike: it is drawn as one block with a number. */
  fold?: Fold;
  type: string;
  parameters?: number | null;
  extra?: string | null;
}

export interface GraphDocument {
  format: string;
  version: number;
  name: string;
  inputs: string[];
  outputs: string[];
  modules: GraphModule[];
  values: GraphValue[];
  nodes: GraphNode[];
  error?: { type?: string; message?: string; module?: string } | null;
  failed?: string | null;
  trouble?: { node: string; value: string; kind: string; count: number; words: string } | null;
  formulas?: Record<string, string | null>;
  gradients_of?: string | null;
}

export interface Module extends GraphModule {
  name: string;
  /** The key by which it is known here: its place in the drawing. */
  key: string;
  parent: Module | null;
  children: Module[];
  ops: GraphNode[];
  /** All operations inside, in the order they ran. */
  all: GraphNode[];
}

export interface Flow {
  from: string;
  to: string;
  values: string[];
}

/** One level laid open: what lies in a module and what flows between it. Ids: m:path, n:op, in:value, out:value. */
export interface Level {
  items: string[];
  flows: Flow[];
}

export const shapeText = (shape: (number | string)[]): string => (shape.length ? shape.join("×") : "scalar");

const parentPath = (path: string): string => (path.includes(".") ? path.slice(0, path.lastIndexOf(".")) : "");
export const placeOf = (node: GraphNode): string => node.place ?? node.module;
const inside = (path: string, ancestor: string): boolean =>
  ancestor === "" || path === ancestor || path.startsWith(`${ancestor}.`);

export class Graph {
  readonly modules = new Map<string, Module>();
  readonly values = new Map<string, GraphValue>();
  readonly nodes = new Map<string, GraphNode>();
  readonly producer = new Map<string, GraphNode>();
  /** When an operation ran: 0, 1, 2, ... */
  readonly order = new Map<string, number>();
  readonly consumers = new Map<string, GraphNode[]>();
  private readonly levels = new Map<string, Level>();

  constructor(readonly document: GraphDocument) {
    for (const value of document.values) this.values.set(value.id, value);
    this.module("", { path: "", type: document.name });
    for (const module of document.modules) this.module(module.place ?? module.path, module);
    for (const node of document.nodes) {
      this.order.set(node.id, this.nodes.size);
      this.nodes.set(node.id, node);
      for (const output of node.outputs) this.producer.set(output, node);
      for (const input of node.inputs) {
        const known = this.consumers.get(input);
        if (known) known.push(node);
        else this.consumers.set(input, [node]);
      }
      this.module(placeOf(node)).ops.push(node);
      for (let at: Module | null = this.module(placeOf(node)); at; at = at.parent) at.all.push(node);
    }
  }

  /** The module at `path`; one that the document does not list (a plain container) is made up from its name. */
  private module(path: string, entry?: GraphModule): Module {
    const known = this.modules.get(path);
    if (known) return entry ? Object.assign(known, entry) : known;
    const parent = path === "" ? null : this.module(parentPath(path));
    const name = path.slice(path.lastIndexOf(".") + 1);
    const made: Module = { path, type: "", name, key: path, parent, children: [], ops: [], all: [], ...entry };
    this.modules.set(path, made);
    parent?.children.push(made);
    return made;
  }

  get root(): Module {
    return this.modules.get("")!;
  }

  /** Does this value flow, or is it held by a module (a weight)? */
  flows(id: string): boolean {
    const kind = this.values.get(id)?.kind;
    return kind === "input" || kind === "activation" || this.producer.has(id);
  }

  /** The item of `level` that holds an operation, or null when it lies outside. */
  private itemOf(level: string, node: GraphNode): string | null {
    const place = placeOf(node);
    if (!inside(place, level)) return null;
    if (place === level) return `n:${node.id}`;
    const rest = level === "" ? place : place.slice(level.length + 1);
    const next = rest.split(".", 1)[0]!;
    return `m:${level === "" ? next : `${level}.${next}`}`;
  }

  level(path: string): Level {
    const known = this.levels.get(path);
    if (known) return known;
    const module = this.modules.get(path)!;
    const items = new Set<string>();
    const flows = new Map<string, Flow>();
    const connect = (from: string, to: string, value: string) => {
      items.add(from);
      items.add(to);
      const key = `${from}\n${to}`;
      const flow = flows.get(key);
      if (!flow) flows.set(key, { from, to, values: [value] });
      else if (!flow.values.includes(value)) flow.values.push(value);
    };
    const results = new Set(this.document.outputs);
    for (const node of module.all) {
      const here = this.itemOf(path, node)!;
      items.add(here);
      for (const input of node.inputs) {
        if (!this.flows(input)) continue;
        const producer = this.producer.get(input);
        const there = producer ? this.itemOf(path, producer) : null;
        if (there === null) connect(`in:${input}`, here, input);
        else if (there !== here) connect(there, here, input);
      }
      for (const output of node.outputs) {
        const leaves =
          results.has(output) || (this.consumers.get(output) ?? []).some((user) => !inside(placeOf(user), path));
        if (leaves) connect(here, `out:${output}`, output);
      }
    }
    if (path === "") {
      // An input that is handed straight on, or used by nobody, is still an input of the model.
      for (const input of this.document.inputs) {
        items.add(`in:${input}`);
        if (results.has(input)) connect(`in:${input}`, `out:${input}`, input);
      }
    }
    const level = { items: [...items], flows: [...flows.values()] };
    this.levels.set(path, level);
    return level;
  }

  /** The values that leave a module, in the order they were made. */
  outputsOf(module: Module): string[] {
    const results = new Set(this.document.outputs);
    const out: string[] = [];
    for (const node of module.all) {
      for (const output of node.outputs) {
        const users = this.consumers.get(output) ?? [];
        if (results.has(output) || users.some((user) => !inside(placeOf(user), module.key))) out.push(output);
      }
    }
    return out;
  }

  /** The values that enter a module. */
  inputsOf(module: Module): string[] {
    const found = new Set<string>();
    for (const node of module.all) {
      for (const input of node.inputs) {
        const producer = this.producer.get(input);
        if (this.flows(input) && !(producer && inside(placeOf(producer), module.key))) found.add(input);
      }
    }
    return [...found];
  }

  /** Weights and other held values used inside a module. */
  held(module: Module): GraphValue[] {
    const found = new Map<string, GraphValue>();
    for (const node of module.all) {
      for (const input of node.inputs) {
        const value = this.values.get(input);
        if (value && !this.flows(input)) found.set(input, value);
      }
    }
    return [...found.values()];
  }

  /** The name by which an item is known to people: module path or operation, and its output's shape. */
  nameOf(id: string): string {
    const [kind, key] = [id.slice(0, id.indexOf(":")), id.slice(id.indexOf(":") + 1)];
    const shape = (values: string[]) => {
      const shapes = values.map((value) => shapeText(this.values.get(value)?.shape ?? []));
      if (!shapes.length) return "";
      const rest = shapes.length > 4 ? ` and ${shapes.length - 3} more` : "";
      return `, output ${(rest ? shapes.slice(0, 3) : shapes).join(" and ")}${rest}`;
    };
    if (kind === "m") {
      const module = this.modules.get(key)!;
      if (module.fold) {
        const { type, times, first, last } = module.fold;
        const path = module.path.includes(" to ") ? "" : `${module.path}, `;
        return `${path}${type} × ${times}, ${first} to ${last}${shape(this.outputsOf(module))}`;
      }
      return `${[module.path || this.document.name, module.type].filter(Boolean).join(", ")}${shape(this.outputsOf(module))}`;
    }
    if (kind === "n") {
      const node = this.nodes.get(key)!;
      return `${node.op}${node.module ? ` in ${node.module}` : ""}${shape(node.outputs)}`;
    }
    const value = this.values.get(key);
    return `${kind === "in" ? "input" : "output"} ${value?.name ?? ""} ${shapeText(value?.shape ?? [])}`.replace(
      / +/g,
      " ",
    );
  }
}
