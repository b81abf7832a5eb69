/** GraphInspector in the browser: the graph on the left, what is selected on the right. */
import {
  type KeyboardEvent,
  type PointerEvent,
  useCallback,
  useEffect,
  useId,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { bytes, count, number, plural } from "../../shared/format";
import { Graph, type GraphDocument, type GraphNode, type GraphValue, type Module, shapeText } from "../../shared/graph";
import { curve, layOut, type Picture, type Placed } from "../../shared/layout";
import { type Channel, type Model, useTrait } from "../../shared/model";
import { define } from "../../shared/mount";
import { useTheme } from "../../shared/theme";
import css from "./view.css";

/** Opening everything stops here: more boxes than this are slow to draw and nothing to read. */
const MOST_ITEMS = 500;

/** Below this scale the smallest text cannot be read, so a larger graph starts at its beginning instead of shrinking. */
const READABLE = 0.85;

interface Camera {
  x: number;
  y: number;
  scale: number;
}

export function GraphInspector({ model, channel }: { model: Model; channel: Channel }) {
  const theme = useTheme();
  const [document] = useTrait<GraphDocument>(model, "_graph");
  const [openList, setOpenList] = useTrait<string[]>(model, "expanded");
  const [selected, setSelected] = useTrait<string>(model, "selected");
  const [height] = useTrait<number | null>(model, "height");
  const graph = useMemo(() => new Graph(document), [document]);
  const open = useMemo(() => new Set(openList), [openList]);
  const picture = useMemo(() => layOut(graph, open), [graph, open]);
  const [search, setSearch] = useState("");
  const [said, setSaid] = useState("");
  const hits = useMemo(() => find(graph, search), [graph, search]);
  const [hit, setHit] = useState(0);
  const stage = useStage(picture, selected);
  // As high as the graph at first; it stays so when modules open, for a page that jumps loses the reader.
  const [ownHeight] = useState(() => Math.min(620, Math.max(340, picture.height + 40)));

  const toggle = useCallback(
    (path: string) => {
      stage.hold(`m:${path}`);
      setSaid("");
      setOpenList(
        open.has(path)
          ? openList.filter((other) => other !== path && !other.startsWith(`${path}.`))
          : [...openList, path],
      );
    },
    [open, openList, setOpenList, stage],
  );

  const reveal = (id: string) => {
    const path = id.startsWith("m:") ? parentOf(id.slice(2)) : graph.nodes.get(id.slice(2))!.module;
    const needed = id.startsWith("m:") && parentOf(id.slice(2)) === null ? [] : ancestors(path ?? "");
    const missing = needed.filter((ancestor) => ancestor && !open.has(ancestor));
    if (missing.length) setOpenList([...openList, ...missing]);
    setSelected(id);
    stage.center(id);
  };

  const onSearch = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || hits.length === 0) return;
    event.preventDefault();
    const now = hits[hit % hits.length]!;
    setHit((hit + 1) % hits.length);
    reveal(now);
  };

  const expandAll = () => {
    const opened: string[] = [];
    let items = graph.level("").items.length;
    const queue = [...graph.root.children];
    let left = 0;
    while (queue.length) {
      const module = queue.shift()!;
      if (module.all.length === 0) continue;
      const more = graph.level(module.path).items.length;
      if (items + more > MOST_ITEMS) {
        left += 1;
        continue;
      }
      items += more;
      opened.push(module.path);
      queue.push(...module.children);
    }
    setSaid(left ? `${plural(left, "module")} left closed: all at once would be too much to read.` : "");
    stage.fitNext();
    setOpenList(opened);
  };

  const modules = graph.modules.size - 1;
  return (
    <div
      className="mlkit mlkit-graph"
      data-theme={theme}
      data-items={picture.items.length}
      role="region"
      aria-label={`Graph of ${document.name}`}
    >
      <div className="top">
        <div className="heading">{document.name}</div>
        <span className="quiet">
          {plural(graph.nodes.size, "operation")}
          {modules > 0 ? ` in ${plural(modules, "module")}` : ""}
          {graph.root.parameters ? ` · ${plural(graph.root.parameters, "parameter")}` : ""}
        </span>
        <div className="tools" role="group" aria-label="View">
          <input
            type="search"
            aria-label="Search modules and operations"
            placeholder="Search"
            value={search}
            onChange={(event) => {
              setSearch(event.target.value);
              setHit(0);
            }}
            onKeyDown={onSearch}
          />
          <span className="quiet hits" role="status">
            {search ? (hits.length ? `${plural(hits.length, "match", "matches")} · Enter` : "no match") : ""}
          </span>
          <button type="button" onClick={expandAll}>
            Expand all
          </button>
          <button
            type="button"
            onClick={() => {
              setSaid("");
              stage.fitNext();
              setOpenList([]);
            }}
          >
            Collapse all
          </button>
          <button type="button" aria-label="Zoom out" onClick={() => stage.zoom(1 / 1.25)}>
            −
          </button>
          <button type="button" aria-label="Zoom in" onClick={() => stage.zoom(1.25)}>
            +
          </button>
          <button type="button" onClick={stage.fit}>
            Fit
          </button>
        </div>
      </div>
      {said ? <p className="note">{said}</p> : null}
      <div className="body" style={{ height: height ?? ownHeight }}>
        <Stage
          graph={graph}
          picture={picture}
          open={open}
          selected={selected}
          hits={hits}
          stage={stage}
          select={setSelected}
          toggle={toggle}
        />
        <Details graph={graph} channel={channel} selected={selected} open={open} toggle={toggle} reveal={reveal} />
      </div>
    </div>
  );
}

const parentOf = (path: string): string | null => (path.includes(".") ? path.slice(0, path.lastIndexOf(".")) : null);

function ancestors(path: string): string[] {
  const parts = path.split(".");
  return parts.map((_, index) => parts.slice(0, index + 1).join("."));
}

/** Modules and operations whose path, type or name contains the words. */
export function find(graph: Graph, words: string): string[] {
  const wanted = words.trim().toLowerCase();
  if (!wanted) return [];
  const found: string[] = [];
  for (const module of graph.modules.values()) {
    if (module.path && module.all.length && `${module.path} ${module.type}`.toLowerCase().includes(wanted)) {
      found.push(`m:${module.path}`);
    }
  }
  for (const node of graph.nodes.values()) {
    if (`${node.op} ${node.id}`.toLowerCase().includes(wanted)) found.push(`n:${node.id}`);
  }
  return found;
}

// --- the camera ----------------------------------------------------------------------------------------------------

interface StageApi {
  host: React.RefObject<HTMLDivElement | null>;
  camera: Camera;
  setCamera(next: Camera): void;
  fit(): void;
  fitNext(): void;
  zoom(factor: number, at?: [number, number]): void;
  hold(id: string): void;
  center(id: string): void;
}

function useStage(picture: Picture, selected: string): StageApi {
  const host = useRef<HTMLDivElement>(null);
  const [camera, setCamera] = useState<Camera>({ x: 0, y: 0, scale: 1 });
  const latest = useRef({ picture, camera });
  const wish = useRef<{ fit?: boolean; center?: string; hold?: { id: string; x: number; y: number } }>({ fit: true });
  latest.current = { picture, camera };

  const fit = useCallback(() => {
    const element = host.current;
    const { width, height } = latest.current.picture;
    if (!element?.clientWidth || !width || !height) return;
    const scale = Math.min(1, (element.clientWidth - 32) / width, (element.clientHeight - 32) / height);
    // A tall graph is better read from its beginning than seen whole and too small to read.
    const readable = Math.max(scale, Math.min(READABLE, (element.clientWidth - 32) / width));
    setCamera({
      scale: readable,
      x: (element.clientWidth - width * readable) / 2,
      y: height * readable > element.clientHeight ? 16 : (element.clientHeight - height * readable) / 2,
    });
  }, []);

  const zoom = useCallback((factor: number, at?: [number, number]) => {
    const element = host.current;
    const { camera: now } = latest.current;
    const [cx, cy] = at ?? [(element?.clientWidth ?? 0) / 2, (element?.clientHeight ?? 0) / 2];
    const scale = Math.min(3, Math.max(0.05, now.scale * factor));
    const ratio = scale / now.scale;
    setCamera({ scale, x: cx - (cx - now.x) * ratio, y: cy - (cy - now.y) * ratio });
  }, []);

  // After each layout: what was asked for before it, or else keep what is there in place.
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs for each new picture and selection
  useLayoutEffect(() => {
    const { fit: whole, center, hold } = wish.current;
    if (whole) {
      fit();
      if (host.current?.clientWidth) wish.current = {};
      return;
    }
    wish.current = {};
    const { camera: now } = latest.current;
    const target = picture.items.find((item) => item.id === (center ?? hold?.id));
    if (!target) return;
    if (hold) {
      setCamera({ ...now, x: hold.x - target.x * now.scale, y: hold.y - target.y * now.scale });
    } else if (host.current) {
      setCamera({
        ...now,
        x: host.current.clientWidth / 2 - (target.x + target.width / 2) * now.scale,
        y: host.current.clientHeight / 2 - (target.y + Math.min(target.height, 80) / 2) * now.scale,
      });
    }
  }, [picture, selected]);

  useEffect(() => {
    const element = host.current!;
    let before = element.clientWidth;
    const observer = new ResizeObserver(() => {
      // Shown for the first time, or made wider or narrower by the page.
      if (element.clientWidth !== before) fit();
      before = element.clientWidth;
      if (before) wish.current.fit = false;
    });
    observer.observe(element);
    const wheel = (event: WheelEvent) => {
      // The plain wheel scrolls the notebook; with Ctrl or Cmd, or a pinch, it zooms.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = element.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY * 0.002), [event.clientX - box.left, event.clientY - box.top]);
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => {
      observer.disconnect();
      element.removeEventListener("wheel", wheel);
    };
  }, [fit, zoom]);

  return useMemo(
    () => ({
      host,
      camera,
      setCamera,
      fit,
      zoom,
      fitNext: () => {
        wish.current = { fit: true };
      },
      hold: (id: string) => {
        const { picture: now, camera: c } = latest.current;
        const item = now.items.find((other) => other.id === id);
        if (item) wish.current = { hold: { id, x: c.x + item.x * c.scale, y: c.y + item.y * c.scale } };
      },
      center: (id: string) => {
        wish.current = { center: id };
      },
    }),
    [camera, fit, zoom],
  );
}

// --- the drawing ---------------------------------------------------------------------------------------------------

interface StageProps {
  graph: Graph;
  picture: Picture;
  open: ReadonlySet<string>;
  selected: string;
  hits: string[];
  stage: StageApi;
  select(id: string): void;
  toggle(path: string): void;
}

function Stage({ graph, picture, open, selected, hits, stage, select, toggle }: StageProps) {
  const { host, camera, setCamera } = stage;
  const drag = useRef<{ x: number; y: number; camera: Camera } | null>(null);
  const found = useMemo(() => new Set(hits), [hits]);
  const arrow = useId();
  const items = picture.items;
  const stops = items.filter((item) => item.kind !== "port");
  const focusable = stops.some((item) => item.id === selected) ? selected : stops[0]?.id;
  const chosen = new Set(valuesOf(graph, selected));

  const onKey = (event: KeyboardEvent, item: Placed) => {
    const path = item.id.startsWith("m:") ? item.id.slice(2) : null;
    let handled = true;
    if (event.key === "Enter") {
      select(item.id);
      if (path !== null) toggle(path);
    } else if (event.key === " ") select(item.id);
    else if (event.key === "Escape") {
      const up = path === null ? graph.nodes.get(item.id.slice(2))?.module : parentOf(path);
      if (up) focus(`m:${up}`);
    } else if (event.key === "+" || event.key === "=") stage.zoom(1.25);
    else if (event.key === "-") stage.zoom(1 / 1.25);
    else if (event.key === "0") stage.fit();
    else if (event.key.startsWith("Arrow")) {
      const next = neighbour(stops, item, event.key);
      if (next) focus(next.id);
    } else handled = false;
    if (handled) {
      event.preventDefault();
      event.stopPropagation();
    }
  };

  const focus = (id: string) => {
    select(id);
    const target = [...(host.current?.querySelectorAll<SVGGElement>("[data-node]") ?? [])].find(
      (element) => element.dataset.node === id,
    );
    target?.focus({ preventScroll: true });
    bringIn(id);
  };

  /** Move the camera just enough that an item is in sight. */
  const bringIn = (id: string) => {
    const item = picture.items.find((other) => other.id === id);
    const element = host.current;
    if (!item || !element) return;
    const slack = (low: number, size: number, room: number) =>
      low < 12
        ? 12 - low
        : low + Math.min(size, room - 24) > room - 12
          ? room - 12 - low - Math.min(size, room - 24)
          : 0;
    const dx = slack(camera.x + item.x * camera.scale, item.width * camera.scale, element.clientWidth);
    const dy = slack(camera.y + item.y * camera.scale, item.height * camera.scale, element.clientHeight);
    if (dx || dy) setCamera({ ...camera, x: camera.x + dx, y: camera.y + dy });
  };

  const onDown = (event: PointerEvent<HTMLDivElement>) => {
    if (event.button !== 0 || (event.target as Element).closest("[data-node]")) return;
    drag.current = { x: event.clientX, y: event.clientY, camera };
    event.currentTarget.setPointerCapture(event.pointerId);
  };
  const onMove = (event: PointerEvent<HTMLDivElement>) => {
    const from = drag.current;
    if (from)
      setCamera({
        ...from.camera,
        x: from.camera.x + event.clientX - from.x,
        y: from.camera.y + event.clientY - from.y,
      });
  };
  const onUp = () => {
    drag.current = null;
  };

  return (
    <div
      className="stage"
      ref={host}
      onPointerDown={onDown}
      onPointerMove={onMove}
      onPointerUp={onUp}
      onPointerCancel={onUp}
    >
      <svg width="100%" height="100%" role="group" aria-label="Graph. Arrow keys move, Enter opens a module.">
        <defs>
          <marker
            id={arrow}
            viewBox="0 0 8 8"
            refX="7"
            refY="4"
            markerWidth="7"
            markerHeight="7"
            orient="auto-start-reverse"
          >
            <path d="M0 0.8 8 4 0 7.2z" className="tip" />
          </marker>
        </defs>
        <g transform={`translate(${camera.x} ${camera.y}) scale(${camera.scale})`}>
          {items
            .filter((item) => item.kind === "open")
            .map((item) => (
              <rect
                key={item.id}
                className="frame"
                data-depth={item.depth % 2}
                aria-hidden="true"
                x={item.x}
                y={item.y}
                width={item.width}
                height={item.height}
                rx={9}
              />
            ))}
          <g aria-hidden="true">
            {picture.wires.map((wire) => (
              <g
                key={wire.id}
                className="wire"
                data-chosen={wire.values.some((value) => chosen.has(value)) || undefined}
              >
                <path d={curve(wire.points)} markerEnd={`url(#${arrow})`} />
                {wire.labelAt ? (
                  <text x={wire.labelAt[0]} y={wire.labelAt[1] + 3.5}>
                    {wire.label}
                  </text>
                ) : null}
              </g>
            ))}
          </g>
          {items.map((item) =>
            item.kind === "port" ? (
              <g key={item.id} className="port" transform={`translate(${item.x} ${item.y})`} aria-hidden="true">
                <rect width={item.width} height={item.height} rx={item.height / 2} />
                {item.width > 10 ? (
                  <text x={item.width / 2} y={item.height / 2 + 4.5}>
                    {item.title}
                  </text>
                ) : null}
              </g>
            ) : (
              <g
                key={item.id}
                className={`node ${item.kind}`}
                transform={`translate(${item.x} ${item.y})`}
                data-node={item.id}
                data-selected={item.id === selected || undefined}
                data-hit={found.has(item.id) || undefined}
                role="button"
                tabIndex={item.id === focusable ? 0 : -1}
                aria-label={graph.nameOf(item.id)}
                aria-pressed={item.id === selected}
                aria-expanded={item.id.startsWith("m:") ? open.has(item.id.slice(2)) : undefined}
                onClick={(event) => {
                  event.currentTarget.focus({ preventScroll: true });
                  select(item.id);
                }}
                onDoubleClick={() => item.id.startsWith("m:") && toggle(item.id.slice(2))}
                onKeyDown={(event) => onKey(event, item)}
              >
                <rect
                  className="shape"
                  width={item.width}
                  height={item.kind === "open" ? 26 : item.height}
                  rx={item.kind === "op" ? 14 : 8}
                />
                {item.kind === "op" ? (
                  <text className="title" x={item.width / 2} y={item.height / 2 + 4.5} textAnchor="middle">
                    {item.title}
                  </text>
                ) : (
                  <>
                    <text className="title" x={28} y={item.kind === "open" ? 17.5 : 18.5}>
                      {item.title}
                      {item.kind === "open" ? (
                        <tspan className="sub" dx={8}>
                          {item.subtitle}
                        </tspan>
                      ) : null}
                    </text>
                    {item.kind === "module" ? (
                      <text className="sub" x={12} y={35}>
                        {item.subtitle}
                      </text>
                    ) : null}
                    {/* biome-ignore lint/a11y: the node around it is the button; Enter on it does the same */}
                    <g
                      className="toggle"
                      transform="translate(16 13.5)"
                      onClick={(event) => {
                        event.stopPropagation();
                        toggle(item.id.slice(2));
                      }}
                      onDoubleClick={(event) => event.stopPropagation()}
                    >
                      <rect x={-13} y={-12} width={25} height={25} fill="transparent" />
                      <path d={item.kind === "open" ? "M-4 -2 0 2.5 4 -2" : "M-2 -4 2.5 0 -2 4"} />
                    </g>
                  </>
                )}
              </g>
            ),
          )}
        </g>
      </svg>
    </div>
  );
}

/** The nearest item in the direction of an arrow key, straight ahead before aside. */
export function neighbour(items: Placed[], from: Placed, key: string): Placed | null {
  const middle = (item: Placed) =>
    [item.x + item.width / 2, item.y + (item.kind === "open" ? 13 : item.height / 2)] as const;
  const [fx, fy] = middle(from);
  let best: Placed | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const item of items) {
    if (item.id === from.id) continue;
    const [x, y] = middle(item);
    const ahead = { ArrowDown: y - fy, ArrowUp: fy - y, ArrowRight: x - fx, ArrowLeft: fx - x }[key] ?? 0;
    const aside = key === "ArrowDown" || key === "ArrowUp" ? Math.abs(x - fx) : Math.abs(y - fy);
    if (ahead <= 1) continue;
    const cost = ahead + 2 * aside;
    if (cost < least) {
      least = cost;
      best = item;
    }
  }
  return best;
}

/** The values that an item makes. */
function valuesOf(graph: Graph, id: string): string[] {
  if (id.startsWith("n:")) return graph.nodes.get(id.slice(2))?.outputs ?? [];
  const module = id.startsWith("m:") ? graph.modules.get(id.slice(2)) : undefined;
  return module ? graph.outputsOf(module) : [];
}

// --- the selected item ---------------------------------------------------------------------------------------------

interface DetailsProps {
  graph: Graph;
  channel: Channel;
  selected: string;
  open: ReadonlySet<string>;
  toggle(path: string): void;
  reveal(id: string): void;
}

function Details({ graph, channel, selected, open, toggle, reveal }: DetailsProps) {
  const node = selected.startsWith("n:") ? graph.nodes.get(selected.slice(2)) : undefined;
  const module = selected.startsWith("m:") ? graph.modules.get(selected.slice(2)) : undefined;
  const made = valuesOf(graph, selected);
  const [shown, setShown] = useState<string | null>(null);
  const first = made[0] ?? null;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another item is selected, so another tensor is shown
  useEffect(() => setShown(first), [selected, first]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
    <div className="details" role="group" aria-label="Selected" tabIndex={0}>
      {node ? <OpDetails graph={graph} node={node} show={setShown} shown={shown} reveal={reveal} /> : null}
      {module ? (
        <ModuleDetails graph={graph} module={module} show={setShown} shown={shown} open={open} toggle={toggle} />
      ) : null}
      {!node && !module ? (
        <p className="quiet">
          Select a box to see its tensor, shapes, weights and source line. Double-click a module, or press Enter on it,
          to open it.
        </p>
      ) : null}
      {shown && (node || module) ? <TensorView channel={channel} value={graph.values.get(shown)} id={shown} /> : null}
    </div>
  );
}

interface ValuesProps {
  graph: Graph;
  label: string;
  ids: string[];
  shown: string | null;
  show(id: string): void;
}

function Values({ graph, label, ids, shown, show }: ValuesProps) {
  if (ids.length === 0) return null;
  return (
    <>
      <div className="subtitle">{label}</div>
      <ul className="values">
        {ids.map((id) => {
          const value = graph.values.get(id);
          if (!value) return null;
          return (
            <li key={id}>
              <button type="button" aria-pressed={shown === id} onClick={() => show(id)}>
                <span>{value.name || graph.producer.get(id)?.op || value.kind}</span>
                <span className="shape-text">
                  {shapeText(value.shape)} {value.dtype}
                </span>
              </button>
            </li>
          );
        })}
      </ul>
    </>
  );
}

function OpDetails({
  graph,
  node,
  show,
  shown,
  reveal,
}: {
  graph: Graph;
  node: GraphNode;
  show(id: string): void;
  shown: string | null;
  reveal(id: string): void;
}) {
  const attrs = Object.entries(node.attrs ?? {});
  return (
    <>
      <div className="chosen">{node.op}</div>
      {node.module ? (
        <p className="quiet">
          in{" "}
          <button type="button" className="link" onClick={() => reveal(`m:${node.module}`)}>
            {node.module}
          </button>{" "}
          {graph.modules.get(node.module)?.type}
        </p>
      ) : null}
      {node.source?.code || node.source?.file ? (
        <figure className="source">
          <figcaption className="quiet">
            {node.source.file}
            {node.source.line ? `, line ${node.source.line}` : ""}
          </figcaption>
          {node.source.code ? <code>{node.source.code}</code> : null}
        </figure>
      ) : null}
      <Values graph={graph} label="Output" ids={node.outputs} shown={shown} show={show} />
      <Values graph={graph} label="Inputs" ids={node.inputs} shown={shown} show={show} />
      {attrs.length ? (
        <>
          <div className="subtitle">Attributes</div>
          <dl className="facts">
            {attrs.map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{typeof value === "string" ? value : JSON.stringify(value)}</dd>
              </div>
            ))}
          </dl>
        </>
      ) : null}
      <dl className="facts">{node.seconds ? <Time seconds={node.seconds} /> : null}</dl>
    </>
  );
}

function ModuleDetails({
  graph,
  module,
  show,
  shown,
  open,
  toggle,
}: {
  graph: Graph;
  module: Module;
  show(id: string): void;
  shown: string | null;
  open: ReadonlySet<string>;
  toggle(path: string): void;
}) {
  const seconds = module.all.reduce((sum, node) => sum + (node.seconds ?? 0), 0);
  return (
    <>
      <div className="chosen">
        {module.type || module.name}
        {module.extra ? <span className="extra">({module.extra})</span> : null}
      </div>
      <p className="quiet">
        {module.path}{" "}
        <button type="button" className="link" onClick={() => toggle(module.path)}>
          {open.has(module.path) ? "Collapse" : "Expand"}
        </button>
      </p>
      <Values graph={graph} label="Output" ids={graph.outputsOf(module)} shown={shown} show={show} />
      <Values graph={graph} label="Input" ids={graph.inputsOf(module)} shown={shown} show={show} />
      <Values
        graph={graph}
        label="Parameters"
        ids={graph.held(module).map((value) => value.id)}
        shown={shown}
        show={show}
      />
      <dl className="facts">
        {module.parameters ? (
          <div>
            <dt>parameters</dt>
            <dd>{count(module.parameters)}</dd>
          </div>
        ) : null}
        <div>
          <dt>operations</dt>
          <dd>{count(module.all.length)}</dd>
        </div>
        {seconds ? <Time seconds={seconds} /> : null}
      </dl>
    </>
  );
}

const Time = ({ seconds }: { seconds: number }) => (
  <div>
    <dt>time</dt>
    <dd>
      {seconds >= 1
        ? `${number(seconds, 3)} s`
        : seconds >= 1e-3
          ? `${number(seconds * 1e3, 3)} ms`
          : `${number(seconds * 1e6, 3)} µs`}
    </dd>
  </div>
);

/** What scrolls must be reachable by keyboard, also inside HTML that was not made here. */
function reachScrolling(host: HTMLElement | null): void {
  for (const element of host?.querySelectorAll<HTMLElement>("*") ?? []) {
    const scrolls = /auto|scroll/.test(getComputedStyle(element).overflow);
    if (scrolls && !element.hasAttribute("tabindex")) {
      element.tabIndex = 0;
      element.role = "group";
      element.ariaLabel = "Numbers";
    }
  }
}

interface TensorAnswer {
  html?: string | null;
  statistics?: Record<string, number | string | null> | null;
  missing?: string | null;
}

function TensorView({ channel, id, value }: { channel: Channel; id: string; value: GraphValue | undefined }) {
  const [answer, setAnswer] = useState<TensorAnswer | null>(null);
  const [late, setLate] = useState("");
  useEffect(() => {
    setAnswer(null);
    setLate("");
    const stop = channel.listen((message) => {
      if (message.kind === "tensor" && message.value === id) setAnswer(message as TensorAnswer);
    });
    let current = true;
    // Walking over the graph with the arrow keys must not ask for every tensor on the way.
    const timer = setTimeout(() => {
      channel.ask({ kind: "tensor", value: id }).then((reply) => {
        if (current && !reply.ok) setLate(reply.error ?? "");
      });
    }, 80);
    return () => {
      current = false;
      clearTimeout(timer);
      stop();
    };
  }, [channel, id]);
  // The tensor's own display says its range and mean already.
  const said = answer?.html ? ["min", "max", "mean", "std"] : [];
  const facts = Object.entries(answer?.statistics ?? {}).filter(([name]) => !said.includes(name));
  return (
    <section className="tensor" aria-label="Tensor" data-value={id} data-ready={answer !== null}>
      <div className="subtitle">
        {value?.name || "Tensor"}{" "}
        <span className="shape-text">{value ? `${shapeText(value.shape)} ${value.dtype}` : ""}</span>
        {value?.bytes && answer && !answer.html ? <span className="quiet"> {bytes(value.bytes)}</span> : null}
      </div>
      {answer?.html ? (
        // The kernel made this from a tensor, with every text in it escaped.
        // biome-ignore lint/security/noDangerouslySetInnerHtml: see above
        <div className="html" ref={reachScrolling} dangerouslySetInnerHTML={{ __html: answer.html }} />
      ) : null}
      {facts.length ? (
        <dl className="facts">
          {facts.map(([name, fact]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{typeof fact === "number" ? number(fact) : String(fact ?? "none")}</dd>
            </div>
          ))}
        </dl>
      ) : null}
      {answer?.missing ? <p className="quiet">{answer.missing}</p> : null}
      {answer === null ? <p className="quiet">{late || "Asking the kernel"}</p> : null}
    </section>
  );
}

export default define(
  "graph-inspector",
  css,
  () => null,
  (_, { model, channel }) => <GraphInspector model={model} channel={channel} />,
);
