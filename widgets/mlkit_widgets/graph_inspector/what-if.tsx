/** What if: a number, a channel or a whole tensor set, scaled or shifted, and the run done again on copies. */
import { useEffect, useId, useState } from "react";
import { number } from "../../shared/format";
import type { Graph } from "../../shared/graph";
import { keyed, readIndex, type Traced } from "./number";

export interface Change {
  target: string;
  index?: number[];
  channel?: number;
  dim?: number;
  set?: number;
  scale?: number;
  add?: number;
}

export interface Effect {
  relative?: Record<string, number>;
  words?: string;
  labels?: string[];
  outputs?: string[];
  error?: string;
}

/** A change in words: "features.0, channel 3: × 0". */
export function changeText(graph: Graph, change: Change): string {
  const value = graph.values.get(change.target);
  const maker = graph.producer.get(change.target);
  const name = value?.name || (maker ? `${maker.op}${maker.module ? ` in ${maker.module}` : ""}` : change.target);
  const where = change.index
    ? `[${change.index.join(", ")}]`
    : change.channel !== undefined
      ? `, channel ${change.channel}`
      : "";
  const what =
    change.set !== undefined
      ? `set to ${number(change.set)}`
      : change.scale !== undefined
        ? change.scale === 0
          ? "set to zero"
          : `times ${number(change.scale)}`
        : `plus ${number(change.add ?? 0)}`;
  return `${name}${where}: ${what}`;
}

export interface WhatIfProps {
  graph: Graph;
  value: string;
  traced: Traced | null;
  changes: Change[];
  setChanges(changes: Change[]): void;
}

export function WhatIf({ graph, value, traced, changes, setChanges }: WhatIfProps) {
  const known = graph.values.get(value);
  const shape = known?.shape ?? [];
  const weight = known?.kind === "parameter" || known?.kind === "buffer";
  const usual = weight ? 0 : shape.length === 2 || shape.length >= 4 ? 1 : Math.max(0, shape.length - 1);
  const [scope, setScope] = useState<"number" | "channel" | "all">(shape.length ? "channel" : "all");
  const [index, setIndex] = useState("");
  const [channel, setChannel] = useState("0");
  const [axis, setAxis] = useState(String(usual));
  const [action, setAction] = useState<"set" | "scale" | "add">("set");
  const [amount, setAmount] = useState("0");
  const [wrong, setWrong] = useState("");
  const id = useId();
  const own = traced?.value === value ? traced.index.join(", ") : null;
  useEffect(() => {
    if (own === null) return;
    setIndex(own);
    setScope("number");
  }, [own]);
  const apply = () => {
    const by = Number(amount.replace(",", "."));
    if (amount.trim() === "" || !Number.isFinite(by)) return setWrong("Give a number, such as 0 or -1.5.");
    const change: Change = { target: value, [action]: by };
    if (scope === "number") {
      const found = readIndex(index, shape);
      if (typeof found === "string") return setWrong(found);
      change.index = found;
    } else if (scope === "channel") {
      const place = Number(channel);
      const size = Number(shape[Number(axis)]);
      if (!Number.isInteger(place) || place < 0 || place >= size) {
        return setWrong(`Axis ${axis} has the channels 0 to ${size - 1}.`);
      }
      change.channel = place;
      change.dim = Number(axis);
    }
    setWrong("");
    setChanges([...changes, change]);
  };
  return (
    <form
      className="what-if"
      aria-label="What if"
      onSubmit={(event) => {
        event.preventDefault();
        apply();
      }}
    >
      <div className="subtitle">What if</div>
      <div className="fields">
        <select
          aria-label="What changes"
          value={scope}
          onChange={(event) => setScope(event.target.value as typeof scope)}
        >
          <option value="number">one number</option>
          {shape.length ? <option value="channel">a channel</option> : null}
          <option value="all">the whole tensor</option>
        </select>
        {scope === "number" ? (
          <input
            type="text"
            aria-label="Index of the number"
            value={index}
            placeholder={shape.map(() => "0").join(", ")}
            onChange={(event) => setIndex(event.target.value)}
          />
        ) : null}
        {scope === "channel" ? (
          <>
            <input
              type="number"
              aria-label="Channel"
              min={0}
              max={Number(shape[Number(axis)]) - 1}
              value={channel}
              onChange={(event) => setChannel(event.target.value)}
            />
            <select aria-label="Axis of the channels" value={axis} onChange={(event) => setAxis(event.target.value)}>
              {keyed(shape).map(({ key, item: size, place: k }) => (
                <option key={key} value={String(k)}>
                  of axis {k} ({size})
                </option>
              ))}
            </select>
          </>
        ) : null}
        <select
          aria-label="How it changes"
          value={action}
          onChange={(event) => setAction(event.target.value as typeof action)}
        >
          <option value="set">were</option>
          <option value="scale">were times</option>
          <option value="add">were plus</option>
        </select>
        <input
          type="text"
          inputMode="decimal"
          aria-label="By how much"
          aria-invalid={wrong !== ""}
          aria-describedby={wrong ? `${id}w` : undefined}
          value={amount}
          onChange={(event) => setAmount(event.target.value)}
        />
        <button type="submit">Try</button>
      </div>
      {wrong ? (
        <p id={`${id}w`} className="wrong" role="alert">
          {wrong}
        </p>
      ) : null}
    </form>
  );
}

export interface EffectBannerProps {
  graph: Graph;
  changes: Change[];
  effect: Effect;
  setChanges(changes: Change[]): void;
  showOutput(value: string): void;
}

/** What is being tried, what comes of it, and the way back. */
export function EffectBanner({ graph, changes, effect, setChanges, showOutput }: EffectBannerProps) {
  const settled = effect.words !== undefined || effect.error !== undefined;
  const output = effect.outputs?.find((id) => effect.relative?.[id] !== undefined) ?? effect.outputs?.[0];
  return (
    <div className="banner change" role="status">
      <span className="mark" aria-hidden="true" />
      <span>
        <b>What if:</b>{" "}
        {keyed(changes).map(({ key, item: change, place: i }) => (
          <span key={key} className="chip">
            {changeText(graph, change)}
            <button
              type="button"
              aria-label={`Take back ${changeText(graph, change)}`}
              onClick={() => setChanges(changes.filter((_, k) => k !== i))}
            >
              ✕
            </button>
          </span>
        ))}{" "}
        {effect.error ? <span className="wrong">{effect.error}</span> : settled ? effect.words : "Working it out"}
        {settled && !effect.error ? <span className="quiet"> The model itself stays as it is.</span> : null}
      </span>
      <span className="actions">
        {output && settled && !effect.error ? (
          <button type="button" onClick={() => showOutput(output)}>
            Show the output
          </button>
        ) : null}
        <button type="button" onClick={() => setChanges([])}>
          Reset
        </button>
      </span>
    </div>
  );
}
