/** The chosen quantity of all layers over time, the chosen layer in front. Read with the mouse or with arrow keys. */
import { type KeyboardEvent, type PointerEvent, useMemo, useRef } from "react";
import { count, number } from "../../shared/format";
import { nearest } from "../../shared/series";
import type { Theme } from "../../shared/theme";
import { roundTicks, useCanvas } from "./canvas";
import { tint } from "./colors";
import { along, latest, MEANS, type Quantity, type Recorded, type Row, type Scale, ticksOf } from "./store";

const HEIGHT = 210;
const LEFT = 52;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 24;

interface Props {
  run: Recorded;
  rows: Row[];
  other: Recorded | undefined;
  otherRows: Row[];
  quantity: Quantity;
  scale: Scale;
  chosen: string;
  cursor: number | null;
  theme: Theme;
  grown: string;
  setCursor(at: number | null): void;
}

export const shown = (quantity: Quantity, value: number): string =>
  Number.isNaN(value) ? "" : quantity === "dead" ? `${Math.round(100 * value)} %` : number(value, 3);

/** A path through the values, thinned to what the width shows: the least and the most of each pixel. */
function trace(
  context: CanvasRenderingContext2D,
  steps: Float64Array,
  values: Float32Array,
  x: (step: number) => number,
  y: (value: number) => number,
): void {
  context.beginPath();
  let begun = false;
  let column = Number.NaN;
  let low = 0;
  let high = 0;
  const flush = () => {
    if (Number.isNaN(column)) return;
    if (begun) context.lineTo(column, low);
    else context.moveTo(column, low);
    if (high !== low) context.lineTo(column, high);
    begun = true;
  };
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Number.isNaN(value)) continue;
    const at = Math.round(x(steps[i]!));
    const to = y(value);
    if (at === column) {
      low = Math.min(low, to);
      high = Math.max(high, to);
    } else {
      flush();
      column = at;
      low = to;
      high = to;
    }
  }
  flush();
  context.stroke();
}

export function History(props: Props) {
  const { run, rows, other, otherRows, quantity, scale, chosen, cursor, theme, grown, setCursor } = props;
  const box = useRef<HTMLDivElement>(null);
  const steps = run.steps();
  const otherSteps = other?.steps();
  const first = Math.min(steps[0] ?? 0, otherSteps?.[0] ?? Number.POSITIVE_INFINITY);
  const last = Math.max(steps[steps.length - 1] ?? 1, otherSteps?.[otherSteps.length - 1] ?? 0, first + 1);

  const { canvas, width } = useCanvas(
    box,
    HEIGHT,
    (context, wide, high, palette) => {
      const x = (step: number) => LEFT + ((step - first) / (last - first)) * (wide - LEFT - RIGHT);
      const y = (value: number) => high - BOTTOM - along(scale, value) * (high - TOP - BOTTOM);
      context.font = palette.font;
      context.fillStyle = palette.quiet;
      context.strokeStyle = palette.grid;
      context.lineWidth = 1;
      context.textAlign = "right";
      context.textBaseline = "middle";
      for (const tick of ticksOf(scale, 6)) {
        const at = Math.round(y(tick)) + 0.5;
        context.beginPath();
        context.moveTo(LEFT, at);
        context.lineTo(wide - RIGHT, at);
        context.stroke();
        context.fillText(quantity === "dead" ? `${Math.round(100 * tick)} %` : number(tick), LEFT - 6, at);
      }
      context.textAlign = "center";
      context.textBaseline = "top";
      for (const tick of roundTicks(first, last, Math.max(2, Math.floor(wide / 110)))) {
        if (!Number.isInteger(tick)) continue;
        const at = Math.min(wide - RIGHT - 12, Math.max(LEFT + 8, x(tick)));
        context.fillText(count(tick), at, high - BOTTOM + 6);
      }
      const draw = (which: Row[], along: Float64Array, dash: number[]) => {
        context.setLineDash(dash);
        const front = which.find((row) => row.name === chosen);
        for (const row of [...which.filter((one) => one !== front), ...(front ? [front] : [])]) {
          context.globalAlpha = !front || row === front ? 1 : 0.45;
          context.strokeStyle = tint(row.tint, theme);
          context.lineWidth = row === front ? 2.6 : 1.3;
          context.lineJoin = "bevel"; // round joins take most of the time where thousands of samples zigzag
          trace(context, along, row.values, x, y);
        }
        context.globalAlpha = 1;
        context.setLineDash([]);
      };
      draw(rows, steps, []);
      if (otherSteps) draw(otherRows, otherSteps, [5, 4]);
      if (cursor !== null && steps[cursor] !== undefined) {
        const at = Math.round(x(steps[cursor])) + 0.5;
        context.strokeStyle = palette.line;
        context.lineWidth = 1;
        context.setLineDash([3, 3]);
        context.beginPath();
        context.moveTo(at, TOP);
        context.lineTo(at, high - BOTTOM);
        context.stroke();
        context.setLineDash([]);
      }
    },
    [grown, quantity, chosen, cursor, theme, scale.low, scale.high, rows.length, otherRows.length],
  );

  const at = cursor ?? steps.length - 1;
  const front = useMemo(() => rows.find((row) => row.name === chosen), [rows, chosen]);
  const spoken = front
    ? `step ${count(steps[at] ?? 0)}: ${chosen} ${shown(quantity, latest(front.values, at)) || "no value"}`
    : `step ${count(steps[at] ?? 0)}`;

  const onKey = (event: KeyboardEvent) => {
    const end = steps.length - 1;
    const stride = Math.max(1, Math.round(steps.length / 20));
    const moves: Record<string, number> = {
      ArrowLeft: at - 1,
      ArrowRight: at + 1,
      PageDown: at - stride,
      PageUp: at + stride,
      Home: 0,
      End: end,
    };
    if (event.key === "Escape") setCursor(null);
    else if (event.key in moves) setCursor(Math.min(end, Math.max(0, moves[event.key]!)));
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const onPointer = (event: PointerEvent<HTMLDivElement>) => {
    const place = event.clientX - event.currentTarget.getBoundingClientRect().left;
    const share = (place - LEFT) / Math.max(1, width - LEFT - RIGHT);
    setCursor(share < -0.02 || share > 1.02 ? null : nearest(steps, first + share * (last - first)));
  };

  return (
    <div
      className="plot history"
      ref={box}
      role="slider"
      tabIndex={0}
      aria-label={`${MEANS[quantity]} over time`}
      aria-valuemin={0}
      aria-valuemax={Math.max(0, steps.length - 1)}
      aria-valuenow={Math.max(0, at)}
      aria-valuetext={spoken}
      onKeyDown={onKey}
      onPointerMove={onPointer}
      onPointerLeave={() => setCursor(null)}
      onBlur={() => setCursor(null)}
    >
      <canvas ref={canvas} aria-hidden="true" style={{ width: "100%", height: HEIGHT }} />
    </div>
  );
}
