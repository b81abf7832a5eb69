/** Step through the run: forward over the operations, then backward over their gradients. */
import { useEffect, useRef, useState } from "react";
import { type Graph, shapeText } from "../../shared/graph";

const PACE = 700;

export interface PlayerProps {
  graph: Graph;
  /** How many operations have run; -1 is the end. */
  step: number;
  order: string[];
  /** Where backward begins. */
  forward: number;
  setStep(step: number): void;
}

/** What a position of the slider means, in words. */
export function positionText(graph: Graph, order: string[], forward: number, step: number): string {
  if (step <= 0) return "before the first operation";
  const node = graph.nodes.get(order[step - 1] ?? "");
  if (!node) return "";
  const back = step > forward;
  const value = graph.values.get(node.outputs[0] ?? "");
  const shape = value ? ` ${shapeText(value.shape)}` : "";
  const where = node.module ? ` in ${node.module}` : "";
  if (node.outputs.length === 0) return `${node.op}${where} raised an error`;
  return back ? `gradient of ${node.op}${where}` : `${node.op}${where} →${shape}`;
}

export function Player({ graph, step, order, forward, setStep }: PlayerProps) {
  const [playing, setPlaying] = useState(false);
  const total = order.length;
  const at = step < 0 ? total : Math.min(step, total);
  const latest = useRef({ at, total, setStep });
  latest.current = { at, total, setStep };
  useEffect(() => {
    if (!playing) return;
    const timer = setInterval(() => {
      const { at, total, setStep } = latest.current;
      if (at < total) setStep(at + 1);
      if (at + 1 >= total) setPlaying(false);
    }, PACE);
    return () => clearInterval(timer);
  }, [playing]);
  const go = (to: number) => {
    setPlaying(false);
    setStep(Math.max(0, Math.min(total, to)));
  };
  const words = positionText(graph, order, forward, at);
  return (
    <div className="player" role="group" aria-label="Run">
      <button type="button" aria-label="To the start" aria-disabled={at === 0} onClick={() => go(0)}>
        <Sign path="M4 3v10M13 3 6 8l7 5z" />
      </button>
      <button type="button" aria-label="Previous" aria-disabled={at === 0} onClick={() => go(at - 1)}>
        <Sign path="M11 3 4 8l7 5z" />
      </button>
      <button
        type="button"
        aria-label={playing ? "Pause" : "Play"}
        onClick={() => {
          if (!playing && at >= total) setStep(0);
          setPlaying(!playing);
        }}
      >
        <Sign path={playing ? "M4 3h3v10H4zM9 3h3v10H9z" : "M4 2.5 13 8l-9 5.5z"} />
      </button>
      <button type="button" aria-label="Next" aria-disabled={at >= total} onClick={() => go(at + 1)}>
        <Sign path="m5 3 7 5-7 5z" />
      </button>
      <button type="button" aria-label="To the end" aria-disabled={at >= total} onClick={() => go(total)}>
        <Sign path="M12 3v10M3 3l7 5-7 5z" />
      </button>
      <input
        type="range"
        aria-label="Operations that have run"
        aria-valuetext={`${at} of ${total}: ${words}`}
        min={0}
        max={total}
        value={at}
        onChange={(event) => go(Number(event.target.value))}
      />
      <span className="position" aria-live={playing ? "off" : "polite"}>
        <b>
          {at} / {total}
        </b>{" "}
        <span className="quiet">{words}</span>
      </span>
    </div>
  );
}

const Sign = ({ path }: { path: string }) => (
  <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
    <path d={path} fill="currentColor" stroke="currentColor" strokeWidth="1.6" strokeLinejoin="round" />
  </svg>
);
