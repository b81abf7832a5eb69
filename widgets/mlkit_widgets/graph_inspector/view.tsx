/** GraphInspector in the browser: the graph on the left, what is selected on the right, the run below. */
import { type KeyboardEvent, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { bytes, plural } from "../../shared/format";
import { Graph, type GraphDocument, placeOf } from "../../shared/graph";
import { LayoutCache, layOut, measure, type Picture, type Show, time } from "../../shared/layout";
import { type Channel, type Model, useTrait } from "../../shared/model";
import { define } from "../../shared/mount";
import { useTheme } from "../../shared/theme";
import { useStage } from "./camera";
import { Details, valuesOf } from "./details";
import { download, pngOf, svgOf } from "./export";
import { useKernel, useThumbs } from "./kernel";
import type { Traced } from "./number";
import { coloursOf, type Look } from "./paint";
import { Player } from "./player";
import { neighbour, Stage } from "./stage";
import css from "./view.css";
import { type Change, type Effect, EffectBanner } from "./what-if";

export { neighbour };

/** Opening everything stops here; a picture with more boxes has nothing left to see. */
const MOST_ITEMS = 30_000;

interface Backward {
  of?: string;
  order?: string[];
  values?: string[];
  error?: string;
}

const SHOWS: [Show, string][] = [
  ["", "Names"],
  ["picture", "Pictures"],
  ["output", "Output shapes"],
  ["time", "Time"],
  ["memory", "Memory"],
  ["parameters", "Parameters"],
];

export function GraphInspector({ model, channel }: { model: Model; channel: Channel }) {
  const theme = useTheme();
  const kernel = useKernel(channel);
  const [document] = useTrait<GraphDocument>(model, "_graph");
  const [openList, setOpenList] = useTrait<string[]>(model, "expanded");
  const [selected, setSelected] = useTrait<string>(model, "selected");
  const [height] = useTrait<number | null>(model, "height");
  const [show, setShow] = useTrait<Show>(model, "show");
  const [direction, setDirection] = useTrait<"forward" | "backward">(model, "direction");
  const [step, setStepTrait] = useTrait<number>(model, "step");
  const [trace, setTraceTrait] = useTrait<Traced[]>(model, "trace");
  const [changes, setChanges] = useTrait<Change[]>(model, "changes");
  const [backward] = useTrait<Backward>(model, "_backward");
  const [effect] = useTrait<Effect>(model, "_effect");
  const [error] = useTrait<string>(model, "_error");
  const graph = useMemo(() => new Graph(document), [document]);
  const cache = useRef<[Graph, LayoutCache]>([graph, new LayoutCache()]);
  if (cache.current[0] !== graph) cache.current = [graph, new LayoutCache()];
  const open = useMemo(() => new Set(openList), [openList]);
  const picture = useMemo(() => layOut(graph, open, show, cache.current[1]), [graph, open, show]);
  const [search, setSearch] = useState("");
  const [said, setSaid] = useState("");
  const [wanted, setWanted] = useState<string | null>(null);
  const hits = useMemo(() => find(graph, search), [graph, search]);
  const [hit, setHit] = useState(0);
  const stage = useStage(picture, selected);
  const root = useRef<HTMLDivElement>(null);
  // As high as the graph at first; it stays so when modules open, for a page that jumps loses the reader.
  const [ownHeight] = useState(() => Math.min(640, Math.max(document.error ? 520 : 420, picture.height + 40)));

  // --- the run ------------------------------------------------------------------------------------------------------

  const forward = graph.document.nodes.length;
  const order = useMemo(() => [...graph.nodes.keys(), ...(backward.order ?? [])], [graph, backward]);
  const back = direction === "backward";
  const at = step < 0 ? (back ? order.length : forward) : Math.min(step, order.length);
  const askGradients = useCallback(() => {
    if (backward.values === undefined) channel.send({ kind: "backward" });
  }, [backward, channel]);
  const setDirectionTo = (next: "forward" | "backward") => {
    setStepTrait(-1);
    setDirection(next);
    if (next === "backward") askGradients();
  };
  const setStep = (to: number) => {
    const id = order[to - 1];
    if (show === "" && to < order.length) setShow("picture");
    setStepTrait(to);
    setDirection(to > forward ? "backward" : "forward");
    if (id) {
      setTraceTrait([]);
      setSelected(`n:${id}`);
      const seen = inSight(graph, picture, `n:${id}`);
      if (seen) stage.bringIn(seen);
    }
  };

  // --- how each box looks ----------------------------------------------------------------------------------------

  const look = useMemo(() => {
    const found = new Map<string, Look>();
    const wantedHits = new Set(hits);
    const heats = new Map<string, number>();
    let most = 0;
    if (show === "time" || show === "memory" || show === "parameters") {
      for (const item of picture.items) {
        if (item.kind === "open" || item.kind === "port") continue;
        const amount = measure(graph, item.id, show) ?? 0;
        heats.set(item.id, amount);
        most = Math.max(most, amount);
      }
    }
    const stepping = step >= 0;
    const position = new Map<string, number>();
    if (stepping) {
      const ids = back ? (backward.order ?? []) : [...graph.nodes.keys()];
      ids.forEach((id, i) => {
        position.set(id, i + 1 + (back ? forward : 0));
      });
    }
    const reached = (id: string): Look["state"] => {
      const own = position.get(id);
      if (own === undefined) return "todo";
      return own < at ? "done" : own === at ? "now" : "todo";
    };
    const { failed, trouble } = graph.document;
    const errorIn = graph.document.error?.module ?? "";
    const errorAt = failed
      ? placeOf(graph.nodes.get(failed)!)
      : [...graph.modules.values()].find((m) => m.path === errorIn)?.key;
    for (const item of picture.items) {
      const own: Look = {};
      const ids = item.id.startsWith("n:")
        ? [item.id.slice(2)]
        : item.id.startsWith("m:")
          ? (graph.modules.get(item.id.slice(2))?.all.map((node) => node.id) ?? [])
          : [];
      if (stepping && ids.length) {
        const states = new Set(ids.map(reached));
        own.state = states.has("now") ? "now" : states.has("done") ? "done" : "todo";
      }
      if (most > 0 && heats.has(item.id)) own.heat = heats.get(item.id)! / most;
      if (wantedHits.has(item.id)) own.hit = true;
      if (failed && ids.includes(failed)) own.failed = true;
      if (!failed && document.error && item.id.startsWith("m:") && errorAt !== undefined) {
        const path = item.id.slice(2);
        own.failed = errorAt === path || errorAt.startsWith(`${path}.`) || undefined;
      }
      if (trouble && ids.includes(trouble.node)) own.trouble = true;
      if (effect.relative && item.kind !== "open") {
        let far = 0;
        for (const value of valuesOf(graph, item.id)) far = Math.max(far, effect.relative[value] ?? 0);
        const port = item.kind === "port" ? item.id.slice(item.id.lastIndexOf(":") + 1) : "";
        if (port) far = effect.relative[port] ?? 0;
        if (far > 0) own.changed = Math.min(1, Math.max(0, 1 + Math.log10(far) / 4));
      }
      if (Object.keys(own).length) found.set(item.id, own);
    }
    return found;
  }, [graph, picture, show, hits, step, at, back, backward, forward, effect, document]);

  const chosen = useMemo(() => new Set(valuesOf(graph, selected)), [graph, selected]);

  // --- thumbnails ---------------------------------------------------------------------------------------------------

  const [shownOps, setShownOps] = useState<string[]>([]);
  const onVisible = useCallback((ids: string[]) => {
    setShownOps((before) => (before.join() === ids.join() ? before : ids));
  }, []);
  const whichThumb = back ? "gradient" : effect.relative && Object.keys(effect.relative).length ? "changed" : "value";
  const thumbValues =
    show === "picture" && !(back && backward.values === undefined)
      ? shownOps.map((id) => graph.nodes.get(id.slice(2))?.outputs[0]).filter((id): id is string => id !== undefined)
      : [];
  const thumb = useThumbs(kernel, whichThumb, thumbValues);
  const thumbOf = (id: string) => {
    const state = look.get(id)?.state;
    return state === "todo" ? null : thumb(graph.nodes.get(id.slice(2))?.outputs[0]);
  };

  // biome-ignore lint/correctness/useExhaustiveDependencies: another effect, other numbers
  useEffect(() => kernel.forgetChanged(), [kernel, effect]);

  // --- moving about ---------------------------------------------------------------------------------------------

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
    const own = id.startsWith("m:") ? id.slice(2) : placeOf(graph.nodes.get(id.slice(2))!);
    const around = ancestors(own).filter((path) => path && !(id.startsWith("m:") && path === own));
    const missing = around.filter((ancestor) => !open.has(ancestor));
    if (missing.length) setOpenList([...openList, ...missing]);
    setSelected(id);
    stage.center(id);
  };

  const setTrace = (next: Traced[]) => {
    setTraceTrait(next);
    const last = next.at(-1);
    const maker = last ? graph.producer.get(last.value) : undefined;
    if (maker && selected !== `n:${maker.id}` && next.length > 1) reveal(`n:${maker.id}`);
  };

  const showOutput = (value: string) => {
    const maker = graph.producer.get(value);
    setTraceTrait([]);
    if (maker) reveal(`n:${maker.id}`);
    setWanted(`${value} ${Date.now()}`);
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
      const more = graph.level(module.key).items.length;
      if (items + more > MOST_ITEMS) {
        left += 1;
        continue;
      }
      items += more;
      opened.push(module.key);
      queue.push(...module.children);
    }
    setSaid(left ? `${plural(left, "module")} left closed: all at once would be too much to draw.` : "");
    stage.fitNext();
    setOpenList(opened);
  };

  // --- files -----------------------------------------------------------------------------------------------------

  const save = async (format: string) => {
    setSaid("");
    if (format === "json") {
      kernel.onSave = (_, name, text) =>
        download(`${name}.mlgraph.json`, new Blob([text], { type: "application/vnd.mlkit.graph+json" }));
      const reply = await channel.ask({ kind: "save", format });
      if (!reply.ok) setSaid(reply.error ?? "");
      return;
    }
    const style = getComputedStyle(root.current!);
    const words = { text: style.getPropertyValue("--text").trim(), quiet: style.getPropertyValue("--quiet").trim() };
    const svg = svgOf(graph, picture, look, { ...coloursOf(root.current!), ...words }, back);
    try {
      if (format === "svg") download(`${document.name}.svg`, new Blob([svg], { type: "image/svg+xml" }));
      else download(`${document.name}.png`, await pngOf(svg));
    } catch (problem) {
      setSaid(`The picture could not be saved: ${(problem as Error).message}.`);
    }
  };

  const modules = graph.modules.size - 1;
  const { trouble } = document;
  const total = useMemo(() => {
    if (show === "time") return `${time(measureAll(graph, "time"))} altogether`;
    if (show === "memory") return `${bytes(measureAll(graph, "memory"))} of tensors made`;
    return "";
  }, [graph, show]);
  return (
    <div
      className="mlkit mlkit-graph"
      ref={root}
      data-theme={theme}
      data-items={picture.items.length}
      role="group"
      aria-label={`Graph of ${document.name}`}
    >
      <div className="top">
        <div className="heading">{document.name}</div>
        <span className="quiet">
          {plural(graph.nodes.size, "operation")}
          {modules > 0 ? ` in ${plural(modules, "module")}` : ""}
          {graph.root.parameters ? ` · ${plural(graph.root.parameters, "parameter")}` : ""}
          {total ? ` · ${total}` : ""}
        </span>
        <div className="tools search">
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
        </div>
      </div>
      <div className="top second">
        <div className="switch" role="group" aria-label="Direction">
          <button type="button" aria-pressed={!back} onClick={() => setDirectionTo("forward")}>
            Forward
          </button>
          <button
            type="button"
            aria-pressed={back}
            aria-disabled={Boolean(document.error)}
            onClick={() => (document.error ? undefined : setDirectionTo("backward"))}
          >
            Backward
          </button>
        </div>
        <label className="choice">
          <span className="quiet">Boxes show</span>
          <select value={show} onChange={(event) => setShow(event.target.value as Show)}>
            {SHOWS.map(([value, words]) => (
              <option key={value} value={value}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <div className="tools" role="group" aria-label="View">
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
          <select aria-label="Save" value="" onChange={(event) => void save(event.target.value)}>
            <option value="" disabled hidden>
              Save…
            </option>
            <option value="svg">as SVG</option>
            <option value="png">as PNG</option>
            <option value="json">as JSON</option>
          </select>
        </div>
      </div>
      {document.error ? (
        <div className="banner bad" role="status">
          <span className="mark" aria-hidden="true" />
          <span>
            <b>{document.error.type}</b>
            {document.failed ? ` in ${graph.nodes.get(document.failed)?.op}` : ""}
            {document.error.module ? ` (${document.error.module})` : ""}: {firstLine(document.error.message)}
          </span>
          {document.failed ? (
            <span className="actions">
              <button type="button" onClick={() => reveal(`n:${document.failed}`)}>
                Show where
              </button>
            </span>
          ) : null}
        </div>
      ) : null}
      {trouble && graph.nodes.has(trouble.node) ? (
        <div className="banner bad" role="status">
          <span className="mark" aria-hidden="true" />
          <span>{upper(trouble.words)}.</span>
          <span className="actions">
            <button type="button" onClick={() => reveal(`n:${trouble.node}`)}>
              Show where
            </button>
          </span>
        </div>
      ) : null}
      {changes.length ? (
        <EffectBanner graph={graph} changes={changes} effect={effect} setChanges={setChanges} showOutput={showOutput} />
      ) : null}
      {back && backward.error ? (
        <div className="banner bad" role="status">
          <span className="mark" aria-hidden="true" />
          <span>{backward.error}</span>
        </div>
      ) : null}
      {back && backward.values === undefined && !backward.error ? (
        <p className="announcement">Working out the gradients</p>
      ) : null}
      {said ? <p className="announcement">{said}</p> : null}
      <div className="body" style={{ height: height ?? ownHeight }}>
        <Stage
          graph={graph}
          picture={picture}
          open={open}
          selected={selected}
          look={look}
          chosen={chosen}
          backward={back}
          stage={stage}
          theme={theme}
          thumbOf={thumbOf}
          onVisible={onVisible}
          select={(id) => {
            if (id !== selected) setTraceTrait([]);
            setSelected(id);
          }}
          toggle={toggle}
          next={(by) => setStep(Math.min(order.length, Math.max(0, at + by)))}
        />
        <Details
          graph={graph}
          kernel={kernel}
          selected={selected}
          open={open}
          backward={back}
          gradients={backward}
          error={error}
          trace={trace}
          changes={changes}
          effect={effect}
          toggle={toggle}
          reveal={reveal}
          setTrace={setTrace}
          setChanges={setChanges}
          askGradients={askGradients}
          wanted={wanted}
        />
      </div>
      <div className="bottom">
        <Player graph={graph} step={step < 0 ? at : step} order={order} forward={forward} setStep={setStep} />
        {backward.values === undefined && !document.error && !back ? (
          <button type="button" onClick={askGradients}>
            Add the backward run
          </button>
        ) : null}
      </div>
    </div>
  );
}

const firstLine = (words: string | undefined): string => (words ?? "").split("\n", 1)[0]!;
const upper = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1);

function measureAll(graph: Graph, show: Show): number {
  let total = 0;
  for (const id of graph.nodes.keys()) total += measure(graph, `n:${id}`, show) ?? 0;
  return total;
}

/** The box that is drawn for an item: itself, or the closed module that it is in. */
function inSight(graph: Graph, picture: Picture, id: string): string | null {
  const ids = new Set(picture.items.map((item) => item.id));
  if (ids.has(id)) return id;
  const node = graph.nodes.get(id.slice(2));
  const around = node ? ancestors(placeOf(node)) : [];
  return around.map((path) => `m:${path}`).findLast((other) => ids.has(other)) ?? null;
}

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
      found.push(`m:${module.key}`);
    }
  }
  for (const node of graph.nodes.values()) {
    if (`${node.op} ${node.id}`.toLowerCase().includes(wanted)) found.push(`n:${node.id}`);
  }
  return found;
}

export default define(
  "graph-inspector",
  css,
  () => null,
  (_, { model, channel }) => <GraphInspector model={model} channel={channel} />,
);
