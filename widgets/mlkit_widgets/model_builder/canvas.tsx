/** The canvas: blocks, links with shapes on them, notes; React Flow moves and draws, Python decides. */
import {
  applyEdgeChanges,
  applyNodeChanges,
  Background,
  BaseEdge,
  type Edge,
  type EdgeProps,
  getBezierPath,
  Handle,
  MiniMap,
  type Node,
  type NodeProps,
  type OnConnectEnd,
  Position,
  ReactFlow,
  type ReactFlowInstance,
  SelectionMode,
} from "@xyflow/react";
import {
  createContext,
  type DragEvent,
  memo,
  type RefObject,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { number } from "../../shared/format";
import type { Theme } from "../../shared/theme";
import { type Answer, type Block, type Editor, type Health, type Problem, settings, shapeText, short } from "./editor";
import { KIND } from "./palette";

export interface Place {
  editor: Editor;
  graph: string;
  run(answer: Promise<Answer>): void;
  enter(block: Block): void;
}

export const Here = createContext<Place>(null!);

interface BlockData extends Record<string, unknown> {
  block: Block;
  kind: string;
  group: string;
  inputs: string[];
  optional: string[];
  outputs: string[];
  problem: Problem | null;
  parameters: number;
}

type BlockNodeType = Node<BlockData, "block">;
type NoteNodeType = Node<{ text: string; number: number }, "note">;
type AnyNode = BlockNodeType | NoteNodeType;
type ShapeEdgeType = Edge<{ label: string; problem: Problem | null }, "shape">;

export const WIDTH = 200;
/** Seen from further away than this, letters cannot be read and are left out: a large model then moves smoothly. */
const FAR = 0.3;

const FAMILIES: Record<string, string> = {
  Inputs: "io",
  Linear: "weights",
  Convolution: "weights",
  Recurrent: "weights",
  Embedding: "weights",
  Attention: "weights",
  Transformer: "weights",
  Activations: "shape",
  Functions: "shape",
  Joins: "join",
  Normalization: "norm",
  Dropout: "norm",
};

function Ports({ names, type, quiet }: { names: string[]; type: "source" | "target"; quiet?: string[] }) {
  const all = [...names, ...(quiet ?? [])];
  return all.map((name, i) => (
    <Handle
      key={name}
      id={name}
      type={type}
      position={type === "target" ? Position.Top : Position.Bottom}
      style={{ left: `${((i + 1) / (all.length + 1)) * 100}%` }}
      className={quiet?.includes(name) ? "optional" : ""}
      title={name}
    >
      {all.length > 1 ? <span className="port">{name}</span> : null}
    </Handle>
  ));
}

const BlockNode = memo(function BlockNode({ data }: NodeProps<BlockNodeType>) {
  const { editor, graph, run, enter } = useContext(Here);
  const { block, problem, parameters, kind } = data;
  const key = `${graph}/${block.name}`;
  const health = useSyncExternalStore(editor.subscribe, () => editor.training.health?.[key]);
  const inner = block.type === "Graph" ? String(block.properties?.graph) : "";
  const times = Number(block.properties?.repeat ?? 1);
  const words = settings(block);
  return (
    <div
      className="block"
      data-family={FAMILIES[data.group] ?? "other"}
      data-kind={kind}
      data-problem={problem && !problem.open ? "" : undefined}
      data-open={problem?.open ? "" : undefined}
      data-repeat={times > 1 ? "" : undefined}
    >
      <Ports names={data.inputs} quiet={data.optional} type="target" />
      <div className="head">
        <b>{inner || block.type}</b>
        {times > 1 ? <span className="times">× {times}</span> : null}
        {block.shared ? (
          <span className="times" title={`shares the weights of ${block.shared}`}>
            = {block.shared}
          </span>
        ) : null}
        {parameters ? <span className="quiet">{short(parameters)}</span> : null}
        {inner ? (
          <button type="button" className="nodrag mini" onClick={() => enter(block)} aria-label={`Open ${inner}`}>
            Open
          </button>
        ) : null}
      </div>
      {health ? (
        <Pulse health={health} />
      ) : (
        <div className="sub quiet">
          <span>{block.name}</span>
          {words ? <span> · {words}</span> : null}
        </div>
      )}
      {block.comment ? <div className="sub quiet">“{block.comment}”</div> : null}
      {problem?.open ? <div className="sub quiet">○ {problem.message}</div> : null}
      {problem && !problem.open ? (
        <div className="problem">
          <span title={problem.message}>⚠ {problem.message}</span>
          {problem.repairs[0] ? (
            <button
              type="button"
              className="nodrag"
              onClick={() => run(editor.step("repair", graph, { block: block.name, number: 0 }))}
            >
              {problem.repairs[0]}
            </button>
          ) : null}
        </div>
      ) : null}
      <Ports names={data.outputs} type="source" />
    </div>
  );
});

/** What a block gives just now, as a small histogram, and how large its gradient is. */
function Pulse({ health }: { health: Health }) {
  const { bins = [], mean, std, zeros = 0, gradient, words } = health;
  const said = [
    mean === undefined || mean === null ? "" : `${number(mean, 2)} ± ${number(std, 2)}`,
    zeros > 0.005 ? `${Math.round(100 * zeros)} % zero` : "",
    gradient === undefined ? "" : `grad ${number(gradient, 2)}`,
  ].filter(Boolean);
  return (
    <div className="pulse" data-bad={words ? "" : undefined} title={said.join(" · ")}>
      {bins.length ? (
        <svg viewBox="0 0 48 16" aria-hidden="true">
          {bins.map((share, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a bar is its place
            <rect key={i} x={i * 4} y={16 - 16 * share} width={3} height={16 * share} />
          ))}
        </svg>
      ) : null}
      <span>{words ? `⚠ ${words}` : said.at(-1)}</span>
    </div>
  );
}

const NoteNode = memo(function NoteNode({ data }: NodeProps<NoteNodeType>) {
  const { editor, graph, run } = useContext(Here);
  const [text, setText] = useState(data.text);
  useEffect(() => setText(data.text), [data.text]);
  return (
    <div className="paper">
      <textarea
        className="nodrag nowheel"
        aria-label="Note"
        placeholder="Write a note"
        value={text}
        rows={Math.max(2, Math.ceil(text.length / 26))}
        onChange={(event) => setText(event.target.value)}
        onBlur={() => text !== data.text && run(editor.step("note", graph, { number: data.number, text }))}
        onKeyDown={(event) => {
          event.stopPropagation();
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
    </div>
  );
});

/** A link that passes several rows bows out, so that it does not hide behind the blocks between. */
const ShapeEdge = memo(function ShapeEdge(props: EdgeProps<ShapeEdgeType>) {
  const { id, sourceX, sourceY, targetX, targetY, data, selected } = props;
  let [path, x, y] = getBezierPath(props);
  if (targetY - sourceY > 150 && Math.abs(targetX - sourceX) < 130) {
    const bow = Math.max(sourceX, targetX) + 225;
    path = `M${sourceX} ${sourceY}C${bow} ${sourceY + 40} ${bow} ${targetY - 40} ${targetX} ${targetY}`;
    x = (sourceX + targetX) / 8 + bow * 0.75;
    y = (sourceY + targetY) / 2;
  }
  const problem = data?.problem;
  return (
    <g className="shape" data-problem={problem ? "" : undefined} data-selected={selected ? "" : undefined}>
      <BaseEdge id={id} path={path} interactionWidth={18} />
      {problem?.wanted ? (
        <>
          <text x={x + 8} y={y - 3}>
            ✕ {data?.label}
          </text>
          <text x={x + 8} y={y + 11}>
            wanted {shapeText(problem.wanted).replaceAll("*", "…")}
          </text>
        </>
      ) : (
        <text x={x + 8} y={y + 4}>
          {data?.label}
        </text>
      )}
    </g>
  );
});

const NODES = { block: BlockNode, note: NoteNode };
const EDGES = { shape: ShapeEdge };

export interface Chosen {
  blocks: string[];
  links: string[];
  notes: number[];
}

export interface Drop {
  x: number;
  y: number;
  at: [number, number];
  source?: string;
  output?: string;
  target?: string;
  input?: string;
}

interface Props {
  theme: Theme;
  flow: RefObject<ReactFlowInstance<AnyNode, ShapeEdgeType> | null>;
  chosen: Chosen;
  wanted: string[] | null;
  ready(): void;
  choose(chosen: Chosen): void;
  offer(drop: Drop): void;
  add(type: string, more: Record<string, unknown>): void;
}

export type Flow = ReactFlowInstance<AnyNode, ShapeEdgeType>;

export function Canvas({ theme, flow, ready, choose, wanted, offer, add }: Props) {
  const { editor, graph, run, enter } = useContext(Here);
  const version = useSyncExternalStore(editor.subscribe, () => editor.document);
  const shapes = editor.shapes(graph);
  const [nodes, setNodes] = useState<AnyNode[]>([]);
  const [edges, setEdges] = useState<ShapeEdgeType[]>([]);
  const memory = useRef(new Map<string, [string, BlockData]>());
  const moving = useRef(0);
  const drag = useRef(0);
  const [far, setFar] = useState(false);
  const [panned, setPanned] = useState(false); // then the picture as it is is moved, and drawn afresh at the end

  // biome-ignore lint/correctness/useExhaustiveDependencies: `version` is the document, `shapes` what Python says of it
  useEffect(() => {
    const data = editor.graph(graph);
    const problems = new Map(shapes.problems.map((problem) => [problem.block, problem]));
    const known = memory.current;
    memory.current = new Map();
    setNodes((before) => {
      const last = new Map(before.map((node) => [node.id, node]));
      const select = (id: string) => (wanted ? wanted.includes(id) : (last.get(id)?.selected ?? false));
      const made: AnyNode[] = data.blocks.map((block) => {
        const [inputs, optional, outputs] = editor.ports(graph, block);
        const type = editor.types.get(block.type);
        const fresh: BlockData = {
          block,
          kind: type?.kind ?? "module",
          group: type?.group ?? "",
          inputs,
          optional,
          outputs,
          problem: problems.get(block.name) ?? null,
          parameters: shapes.costs[block.name]?.[0] ?? 0,
        };
        const key = JSON.stringify(fresh);
        const old = known.get(block.name);
        const kept = old?.[0] === key ? old : ([key, fresh] as [string, BlockData]);
        memory.current.set(block.name, kept);
        const [x, y] = data.positions[block.name] ?? [0, 0];
        const before = last.get(block.name) as BlockNodeType | undefined;
        const selected = select(block.name);
        if (before?.dragging) return { ...before, data: kept[1] };
        if (
          before &&
          before.data === kept[1] &&
          before.position.x === x &&
          before.position.y === y &&
          before.selected === selected
        )
          return before;
        return {
          ...(before?.measured ? { measured: before.measured } : {}),
          id: block.name,
          type: "block",
          position: { x, y },
          data: kept[1],
          selected,
          ariaLabel: block.type === "Graph" ? String(block.properties?.graph) : block.type,
          width: WIDTH,
        };
      });
      editor.document.notes.forEach((note, number) => {
        if ((note.graph ?? editor.document.name) !== graph) return;
        const id = `note ${number}`;
        const [x, y] = note.position;
        made.push({
          id,
          type: "note",
          position: { x, y },
          data: { text: note.text, number },
          selected: select(id),
          ariaLabel: "Note",
          ...(last.get(id)?.measured ? { measured: last.get(id)!.measured } : {}),
        });
      });
      return made;
    });
    setEdges((before) => {
      const chosen = new Set(before.filter((edge) => edge.selected).map((edge) => edge.id));
      const variadic = new Set(data.blocks.filter((b) => editor.types.get(b.type)?.variadic).map((b) => b.name));
      return data.links.map(({ from, to }) => {
        const id = `${from} -> ${to}`;
        const [source, output] = from.split(".") as [string, string];
        const [target, input] = to.split(".") as [string, string];
        const [shape, dtype] = shapes.values[from] ?? ["", ""];
        const problem = problems.get(target);
        const said = [shapeText(shape), dtype].filter(Boolean).join(" ");
        const twin = data.links.find((one) => one.from === from && one.to.startsWith(`${target}.`));
        const label = twin?.to === to ? said : ""; // query, key and value: one shape is enough
        return {
          id,
          type: "shape",
          source,
          target,
          sourceHandle: output,
          targetHandle: variadic.has(target) ? "in" : input,
          data: { label, problem: problem?.link === id ? problem : null },
          selected: wanted ? false : chosen.has(id),
          ariaLabel: `${source} to ${target}${said ? `, ${said}` : ""}`,
        };
      });
    });
  }, [version, shapes, graph, editor, wanted]);

  const moved = useCallback(() => {
    clearTimeout(moving.current);
    const positions: Record<string, [number, number]> = {};
    const notes: Record<string, [number, number]> = {};
    const data = editor.graph(graph);
    for (const node of flow.current?.getNodes() ?? []) {
      const { x, y } = node.position;
      if (node.type === "note") {
        const [a, b] = editor.document.notes[node.data.number]?.position ?? [x, y];
        if (a !== x || b !== y) notes[node.data.number] = [x, y];
      } else {
        const [a, b] = data.positions[node.id] ?? [0, 0];
        if (a !== x || b !== y) positions[node.id] = [x, y];
      }
    }
    if (Object.keys(positions).length + Object.keys(notes).length)
      run(editor.step("move", graph, { positions, notes, drag: `${Date.now() >> 10} ${drag.current}` }));
  }, [editor, graph, run, flow]);

  const ancestors = useMemo(() => {
    void version;
    const users = new Map<string, string[]>();
    for (const { from, to } of editor.graph(graph).links) {
      const source = from.split(".")[0]!;
      users.set(source, [...(users.get(source) ?? []), to.split(".")[0]!]);
    }
    return users;
  }, [version, editor, graph]);
  const round = (source: string, target: string): boolean => {
    const waiting = [target];
    const seen = new Set<string>();
    while (waiting.length) {
      const here = waiting.pop()!;
      if (here === source) return true;
      if (seen.has(here)) continue;
      seen.add(here);
      waiting.push(...(ancestors.get(here) ?? []));
    }
    return false;
  };

  const onConnectEnd: OnConnectEnd = (event, state) => {
    if (state.toHandle || !state.fromHandle || !state.fromNode || !flow.current) return;
    const touch = "changedTouches" in event ? event.changedTouches[0]! : event;
    const { clientX: x, clientY: y } = touch;
    const onto = document
      .elementsFromPoint(x, y)
      .map((element) => element.closest<HTMLElement>(".react-flow__node"))
      .find((element) => element && element.dataset.id !== state.fromNode!.id)?.dataset.id;
    const forward = state.fromHandle.type === "source";
    const id = state.fromHandle.id ?? "output";
    if (onto) {
      const [source, target] = forward ? [state.fromNode.id, onto] : [onto, state.fromNode.id];
      const input = forward || id === "in" ? {} : { input: id };
      run(editor.step("connect", graph, { source, target, ...(forward ? { output: id } : {}), ...input }));
      return;
    }
    const spot = flow.current.screenToFlowPosition({ x, y });
    offer({
      x,
      y,
      at: [spot.x - WIDTH / 2, spot.y - (forward ? 0 : 60)],
      ...(forward
        ? { source: state.fromNode.id, output: id }
        : { target: state.fromNode.id, input: id === "in" ? "0" : id }),
    });
  };

  const onDrop = (event: DragEvent) => {
    const type = event.dataTransfer.getData(KIND);
    if (!type || !flow.current) return;
    event.preventDefault();
    const { x, y } = flow.current.screenToFlowPosition({ x: event.clientX, y: event.clientY });
    const link = (event.target as Element).closest<HTMLElement>(".react-flow__edge")?.dataset.id;
    const more: Record<string, unknown> = { position: [x - WIDTH / 2, y - 24] };
    if (link) {
      const [from, to] = link.split(" -> ") as [string, string];
      [more.after, more.output] = from.split(".");
      [more.before, more.input] = to.split(".");
    }
    add(type, more);
  };

  return (
    <ReactFlow
      nodes={nodes}
      edges={edges}
      nodeTypes={NODES}
      edgeTypes={EDGES}
      colorMode={theme}
      onInit={(instance) => {
        flow.current = instance;
        ready();
      }}
      onNodesChange={(changes) => {
        setNodes((now) => applyNodeChanges(changes, now));
        if (changes.some((change) => change.type === "position" && !change.dragging && change.position)) {
          clearTimeout(moving.current); // arrow keys: many small moves, sent when they have come to rest
          moving.current = window.setTimeout(moved, 350);
        }
      }}
      onEdgesChange={(changes) => setEdges((now) => applyEdgeChanges(changes, now))}
      onSelectionChange={({ nodes: some, edges: links }) =>
        choose({
          blocks: some.filter((node) => node.type === "block").map((node) => node.id),
          notes: some.filter((node) => node.type === "note").map((node) => (node.data as { number: number }).number),
          links: links.map((edge) => edge.id),
        })
      }
      onNodeDragStart={() => {
        drag.current += 1;
      }}
      onNodeDragStop={() => {
        clearTimeout(moving.current);
        moving.current = window.setTimeout(moved, 0);
      }}
      onSelectionDragStop={() => {
        moving.current = window.setTimeout(moved, 0);
      }}
      onNodeDoubleClick={(_, node) =>
        node.type === "block" && node.data.block.type === "Graph" && enter(node.data.block)
      }
      onConnect={({ source, target, sourceHandle, targetHandle }) =>
        run(
          editor.step("connect", graph, {
            source,
            target,
            output: sourceHandle,
            ...(targetHandle === "in" ? {} : { input: targetHandle }),
          }),
        )
      }
      onConnectEnd={onConnectEnd}
      isValidConnection={({ source, target }) => source !== target && !round(source, target)}
      onDragOver={(event) => {
        event.preventDefault();
        event.dataTransfer.dropEffect = "copy";
      }}
      onDrop={onDrop}
      connectionRadius={28}
      deleteKeyCode={null}
      panActivationKeyCode={null}
      multiSelectionKeyCode={["Control", "Meta", "Shift"]}
      selectionKeyCode="Shift"
      selectionMode={SelectionMode.Partial}
      zoomOnScroll={false}
      preventScrolling={false}
      zoomOnDoubleClick={false}
      minZoom={0.02}
      onMove={(_, { zoom }) => setFar(zoom < FAR)}
      onMoveStart={() => setPanned(true)}
      onMoveEnd={() => setPanned(false)}
      className={`${far ? "far" : ""} ${panned ? "moving" : ""}`}
      maxZoom={2}
      proOptions={{ hideAttribution: true }}
      onlyRenderVisibleElements={nodes.length > 120 && !far}
    >
      <Background gap={20} size={1} />
      {nodes.length > 3 ? <MiniMap pannable zoomable ariaLabel="Overview" position="bottom-right" /> : null}
    </ReactFlow>
  );
}
