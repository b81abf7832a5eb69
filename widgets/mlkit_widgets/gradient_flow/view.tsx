/** GradientFlow in the browser: what is wrong, the layers in forward order with bars, and the chosen one over time. */
import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { count, number, plural } from "../../shared/format";
import { type Model, useTrait } from "../../shared/model";
import { define } from "../../shared/mount";
import { type Theme, useTheme } from "../../shared/theme";
import { tint } from "./colors";
import { History, shown } from "./history";
import { SpreadPlot } from "./spread";
import {
  along,
  type Finding,
  LABELS,
  latest,
  MEANS,
  QUANTITIES,
  type Quantity,
  type Row,
  rowsOf,
  type Scale,
  Store,
  scaleOf,
} from "./store";
import css from "./view.css";

const TITLES: Record<string, string> = {
  vanishing: "Vanishing gradients",
  exploding: "Exploding gradients",
  dead: "Dead units",
};
const SPREAD_OF: Record<Quantity, string> = {
  gradient: "gradient",
  ratio: "gradient",
  weight: "weight",
  dead: "activation",
  activation: "activation",
};
const NONE: Record<Quantity, string> = {
  gradient: "No layer has had a gradient yet.",
  weight: "No layer with weights has been looked at yet.",
  ratio: "No step of an optimizer has been looked at yet.",
  dead: "This model has no ReLU or the like, or its units have not been seen often enough.",
  activation: "No forward pass has been looked at yet.",
};

export function GradientFlow({ store, model }: { store: Store; model: Model }) {
  useSyncExternalStore(store.subscribe, store.snapshot);
  // What the samples' pictures depend on: a new spread or verdict must not draw them again.
  const grown = store.runs.map((one) => `${one.stream}:${one.count}:${one.order.length}`).join("|");
  const theme = useTheme();
  const [quantity, setQuantity] = useTrait<Quantity>(model, "quantity");
  const [wanted, setWanted] = useTrait<string>(model, "layer");
  const [kind, setKind] = useTrait<"heatmap" | "ridge">(model, "spread");
  const [compare, setCompare] = useTrait<string>(model, "compare");
  const [cursor, setCursor] = useState<number | null>(null);
  const run = store.runs[0];
  const other = store.runs[1];
  // biome-ignore lint/correctness/useExhaustiveDependencies: `grown` says that what is behind `run` has
  const rows = useMemo(() => rowsOf(run, quantity), [run, quantity, grown]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: as above
  const otherRows = useMemo(() => {
    const places = new Map(rows.map((row) => [row.name, row.tint]));
    return rowsOf(other, quantity).map((row) => ({ ...row, tint: places.get(row.name) ?? row.tint }));
  }, [other, quantity, rows, grown]);
  const scale = useMemo(() => scaleOf(quantity, [...rows, ...otherRows]), [quantity, rows, otherRows]);
  const chosen = rows.some((row) => row.name === wanted) ? wanted : (rows[0]?.name ?? "");
  const steps = run?.steps();
  const at = cursor ?? (steps?.length ?? 0) - 1;
  const flags = useMemo(() => {
    const found = new Map<string, string[]>();
    for (const one of store.findings) {
      for (const name of one.layers) found.set(name, [...(found.get(name) ?? []), one.kind]);
    }
    return found;
  }, [store.findings]);

  const choose = (name: string) => setWanted(name);
  return (
    <div
      className="mlkit mlkit-flow"
      data-theme={theme}
      data-samples={run?.count ?? 0}
      data-layer={chosen}
      data-step={steps?.[steps.length - 1] ?? 0}
      role="region"
      aria-label={`Gradient flow${run?.title ? ` of ${run.title}` : ""}`}
    >
      <div className="top">
        <div className="heading">{run?.title || "Gradient flow"}</div>
        <Verdict store={store} />
        <p className="quiet place">
          {run && steps?.length ? (
            <>
              <span>step {count(steps[steps.length - 1]!)}</span>
              <span>{plural(run.count, "sample")}</span>
              <span>{plural(run.order.length, "layer")}</span>
              {store.cost > 0 ? <span>costs {number(100 * store.cost, 2)} % of the time</span> : null}
            </>
          ) : null}
        </p>
      </div>
      {store.problem ? <p className="note">{store.problem}</p> : null}
      <Findings findings={store.findings} choose={choose} />
      <div className="controls">
        <div role="radiogroup" aria-label="Quantity" className="choice">
          {QUANTITIES.map((one) => (
            <Radio key={one} label={LABELS[one]} on={one === quantity} choose={() => setQuantity(one)} />
          ))}
        </div>
        {store.others.length || compare ? (
          <label className="compare">
            Compare with
            <select value={compare} onChange={(event) => setCompare(event.target.value)}>
              <option value="">nothing</option>
              {[...new Set([...(compare ? [compare] : []), ...store.others])].map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        ) : null}
      </div>
      {!run?.count || !rows.length ? (
        <p className="empty quiet">
          {!store.heard
            ? "Asking the kernel for the samples."
            : run?.count
              ? NONE[quantity]
              : store.waiting || "Nothing has been recorded yet: it begins with the first training step."}
        </p>
      ) : (
        <div className="parts">
          <Layers
            rows={rows}
            otherRows={otherRows}
            quantity={quantity}
            scale={scale}
            chosen={chosen}
            at={at}
            theme={theme}
            flags={flags}
            choose={choose}
          />
          <div className="right">
            <section className="panel">
              <header>
                <span className="name">{MEANS[quantity]} over time</span>
                <span className="quiet">
                  {cursor !== null && steps ? `step ${count(steps[cursor] ?? 0)}` : "now"}: {chosen}{" "}
                  <b>{shown(quantity, latest(rows.find((row) => row.name === chosen)!.values, at))}</b>
                </span>
              </header>
              <History
                run={run}
                rows={rows}
                other={other}
                otherRows={otherRows}
                quantity={quantity}
                scale={scale}
                chosen={chosen}
                cursor={cursor}
                theme={theme}
                grown={grown}
                setCursor={setCursor}
              />
              <Legend rows={rows} other={other?.title} theme={theme} />
            </section>
            <section className="panel">
              <header>
                <span className="name">How the values are spread</span>
                <div role="radiogroup" aria-label="Kind of picture" className="choice">
                  <Radio label="Heat map" on={kind === "heatmap"} choose={() => setKind("heatmap")} />
                  <Radio label="Ridges" on={kind === "ridge"} choose={() => setKind("ridge")} />
                </div>
              </header>
              <Spreads store={store} chosen={chosen} quantity={quantity} kind={kind} theme={theme} />
            </section>
          </div>
        </div>
      )}
    </div>
  );
}

function Verdict({ store }: { store: Store }) {
  const kinds = [...new Set(store.findings.map((one) => one.kind))];
  if (!store.heard) return null;
  const state = kinds.length ? "wrong" : store.verdict.startsWith("Nothing to complain") ? "well" : "early";
  const words = kinds.length
    ? kinds.map((one) => TITLES[one] ?? one).join(", ")
    : state === "well"
      ? "Gradients flow well"
      : "Too early to say";
  return (
    <span className="badge" role="status" data-verdict={state} title={store.verdict || undefined}>
      {words}
    </span>
  );
}

function Findings({ findings, choose }: { findings: Finding[]; choose(name: string): void }) {
  return findings.map((one) => (
    <section className="finding" key={one.kind + one.layers.join()} data-kind={one.kind} aria-label={TITLES[one.kind]}>
      <p>
        <b>{TITLES[one.kind] ?? one.kind}:</b> {one.sentence}
      </p>
      <p className="cause">Likely cause: {one.cause}</p>
      <details open>
        <summary>What to try</summary>
        <ul>
          {one.advice.map((text) => (
            <li key={text}>{text}</li>
          ))}
        </ul>
      </details>
      {one.layers.length ? (
        <p className="go">
          {one.layers.slice(0, 6).map((name) => (
            <button type="button" key={name} onClick={() => choose(name)}>
              Show {name}
            </button>
          ))}
          {one.layers.length > 6 ? <span className="quiet">and {one.layers.length - 6} more</span> : null}
        </p>
      ) : null}
    </section>
  ));
}

/** One of several buttons of which exactly one is on. Arrow keys move among them. */
function Radio({ label, on, choose }: { label: string; on: boolean; choose(): void }) {
  const onKey = (event: KeyboardEvent<HTMLButtonElement>) => {
    const turn = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!turn) return;
    const all = [...event.currentTarget.parentElement!.querySelectorAll<HTMLButtonElement>("[role=radio]")];
    const next = all[(all.indexOf(event.currentTarget) + turn + all.length) % all.length]!;
    next.focus();
    next.click();
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <button type="button" role="radio" aria-checked={on} tabIndex={on ? 0 : -1} onClick={choose} onKeyDown={onKey}>
      {label}
    </button>
  );
}

interface LayersProps {
  rows: Row[];
  otherRows: Row[];
  quantity: Quantity;
  scale: Scale;
  chosen: string;
  at: number;
  theme: Theme;
  flags: Map<string, string[]>;
  choose(name: string): void;
}

function Layers({ rows, otherRows, quantity, scale, chosen, at, theme, flags, choose }: LayersProps) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const others = new Map(otherRows.map((row) => [row.name, row]));
  const onKey = (event: KeyboardEvent) => {
    const place = rows.findIndex((row) => row.name === chosen);
    const moves: Record<string, number> = {
      ArrowUp: place - 1,
      ArrowDown: place + 1,
      PageUp: place - 8,
      PageDown: place + 8,
      Home: 0,
      End: rows.length - 1,
    };
    if (!(event.key in moves)) return;
    const to = Math.min(rows.length - 1, Math.max(0, moves[event.key]!));
    choose(rows[to]!.name);
    list.current?.children[to]?.scrollIntoView?.({ block: "nearest" });
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <section className="panel left">
      <header>
        <span className="name">Layers, in forward order</span>
        <span className="quiet">{MEANS[quantity]}</span>
      </header>
      <div
        className="layers"
        ref={list}
        role="listbox"
        tabIndex={0}
        aria-label={`Layers by ${MEANS[quantity]}`}
        aria-activedescendant={chosen ? `${id}-${rows.findIndex((row) => row.name === chosen)}` : undefined}
        onKeyDown={onKey}
      >
        {rows.map((row, place) => {
          const value = latest(row.values, at);
          const second = others.get(row.name);
          const secondValue = second ? latest(second.values, second.values.length - 1) : Number.NaN;
          const flagged = flags.get(row.name) ?? [];
          const notes = [row.layer.frozen ? "frozen" : "", row.layer.shared ? `shares with ${row.layer.shared}` : ""];
          const words = shown(quantity, value);
          return (
            // biome-ignore lint/a11y/useKeyWithClickEvents: arrow keys move through the list itself
            // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus, this is its active descendant
            <div
              key={row.row}
              id={`${id}-${place}`}
              className="layer"
              role="option"
              aria-selected={row.name === chosen}
              aria-label={[row.name, row.layer.kind, words || "no value", ...flagged, ...notes]
                .filter(Boolean)
                .join(", ")}
              data-name={row.name}
              onClick={() => choose(row.name)}
            >
              <span className="what">
                <span className="name">{row.name}</span>
                {row.layer.kind !== row.name ? <span className="quiet"> {row.layer.kind}</span> : null}
                {notes.some(Boolean) ? <span className="quiet"> · {notes.filter(Boolean).join(", ")}</span> : null}
              </span>
              <span className="bar">
                <i style={{ width: `${100 * (along(scale, value) || 0)}%`, background: tint(row.tint, theme) }} />
                {second ? (
                  <i className="second" style={{ width: `${100 * (along(scale, secondValue) || 0)}%` }} />
                ) : null}
              </span>
              <span className="value">{words}</span>
              <span className="flags">
                {flagged.map((flag) => (
                  <em key={flag} data-flag={flag}>
                    {flag}
                  </em>
                ))}
              </span>
            </div>
          );
        })}
      </div>
    </section>
  );
}

function Legend({ rows, other, theme }: { rows: Row[]; other: string | undefined; theme: Theme }) {
  const first = rows[0];
  const last = rows[rows.length - 1];
  if (!first || !last) return null;
  return (
    <p className="legend quiet">
      {rows.length > 1 ? (
        <>
          <span>first: {first.name}</span>
          <i
            style={{
              background: `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map((one) => tint(one, theme))})`,
            }}
          />
          <span>last: {last.name}</span>
        </>
      ) : null}
      {other ? <span className="dashed">dashed: {other}</span> : null}
    </p>
  );
}

interface SpreadsProps {
  store: Store;
  chosen: string;
  quantity: Quantity;
  kind: "heatmap" | "ridge";
  theme: Theme;
}

function Spreads({ store, chosen, quantity, kind, theme }: SpreadsProps) {
  const { spread } = store;
  const wanted = SPREAD_OF[quantity];
  const of = `${wanted}s`;
  useEffect(() => store.show(chosen, wanted), [store, chosen, wanted]);
  if (!spread || spread.layer !== chosen || spread.of !== wanted) {
    return (
      <p className="empty quiet">
        Asking the kernel for the {of} of {chosen}.
      </p>
    );
  }
  if (!spread.runs.some((run) => run.steps.length)) {
    return (
      <p className="empty quiet">
        No {of} of {chosen} have been recorded.
      </p>
    );
  }
  return (
    <div className="spreads">
      {spread.runs.map((run, at) =>
        run.steps.length ? (
          <SpreadPlot
            key={store.runs[at]?.stream ?? at}
            spread={spread}
            run={at}
            title={`${of} of ${chosen}${spread.runs.length > 1 ? ` in ${store.runs[at]?.title ?? ""}` : ""}`}
            kind={kind}
            theme={theme}
          />
        ) : null,
      )}
    </div>
  );
}

export default define(
  "gradient-flow",
  css,
  ({ channel }) => new Store(channel),
  (store, { model }) => <GradientFlow store={store} model={model} />,
  (store) => store.close(),
);
