/** How the chosen layer's values were spread over time: a heat map or ridges. Read with the mouse or with arrow keys. */
import { type KeyboardEvent, type PointerEvent, useRef, useState } from "react";
import { count, number } from "../../shared/format";
import { nearest } from "../../shared/series";
import type { Theme } from "../../shared/theme";
import { roundTicks, useCanvas } from "./canvas";
import { ramp, tint } from "./colors";
import type { Spread } from "./store";

const HEIGHT = 230;
const LEFT = 52;
const RIGHT = 12;
const TOP = 8;
const BOTTOM = 24;
const RIDGES = 12;

interface Props {
  spread: Spread;
  run: number;
  title: string;
  kind: "heatmap" | "ridge";
  theme: Theme;
}

/** Steps of the ridges: a dozen at most, the first and the last among them. */
export function picked(columns: number, most: number): number[] {
  if (columns <= most) return Array.from({ length: columns }, (_, i) => i);
  return Array.from({ length: most }, (_, i) => Math.round((i * (columns - 1)) / (most - 1)));
}

export function SpreadPlot({ spread, run, title, kind, theme }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [cursor, setCursor] = useState<number | null>(null);
  const { steps, shares, marks } = spread.runs[run]!;
  const { edges, log } = spread;
  const bins = edges.length - 1;
  const columns = steps.length;
  const slices = kind === "ridge" ? picked(columns, RIDGES) : [];
  const value = (edge: number) => (log ? 10 ** edge : edge);

  const { canvas, width } = useCanvas(
    box,
    HEIGHT,
    (context, wide, high, palette) => {
      if (!columns || bins < 1) return;
      context.font = palette.font;
      context.fillStyle = palette.quiet;
      const inner = wide - LEFT - RIGHT;
      if (kind === "heatmap") {
        const colours = ramp(theme);
        let top = 0;
        for (const share of shares) if (share > top) top = share;
        const image = context.createImageData(columns, bins);
        for (let c = 0; c < columns; c++) {
          for (let b = 0; b < bins; b++) {
            const share = shares[c * bins + b]!;
            const at = 3 * Math.round(255 * Math.sqrt(Math.max(0, share) / (top || 1)));
            const to = 4 * ((bins - 1 - b) * columns + c);
            for (let k = 0; k < 3; k++) image.data[to + k] = colours[at + k]!;
            image.data[to + 3] = 255;
          }
        }
        const small = document.createElement("canvas");
        small.width = columns;
        small.height = bins;
        small.getContext("2d")!.putImageData(image, 0, 0);
        context.imageSmoothingEnabled = false;
        const borders = bordersOf(steps);
        const span = borders[columns]! - borders[0]! || 1;
        for (let c = 0; c < columns; c++) {
          // Samples need not be evenly apart: each is as wide as the time it stands for.
          const x0 = LEFT + ((borders[c]! - borders[0]!) / span) * inner;
          const x1 = LEFT + ((borders[c + 1]! - borders[0]!) / span) * inner;
          context.drawImage(small, c, 0, 1, bins, x0, TOP, x1 - x0 + 0.5, high - TOP - BOTTOM);
        }
        context.strokeStyle = palette.grid;
        context.strokeRect(LEFT + 0.5, TOP + 0.5, inner - 1, high - TOP - BOTTOM - 1);
        context.textAlign = "right";
        context.textBaseline = "middle";
        for (const tick of roundTicks(edges[0]!, edges[bins]!, 5)) {
          if (log && !Number.isInteger(tick)) continue;
          const y = high - BOTTOM - ((tick - edges[0]!) / (edges[bins]! - edges[0]!)) * (high - TOP - BOTTOM);
          context.fillText(number(value(tick)), LEFT - 6, Math.min(high - BOTTOM - 5, Math.max(TOP + 5, y)));
        }
        context.textBaseline = "top";
        context.textAlign = "left";
        context.fillText(`step ${count(steps[0]!)}`, LEFT, high - BOTTOM + 6);
        context.textAlign = "right";
        if (columns > 1) context.fillText(count(steps[columns - 1]!), wide - RIGHT, high - BOTTOM + 6);
        if (cursor !== null && cursor < columns) {
          const x = LEFT + (((borders[cursor]! + borders[cursor + 1]!) / 2 - borders[0]!) / span) * inner;
          context.strokeStyle = palette.text;
          context.setLineDash([3, 3]);
          context.beginPath();
          context.moveTo(x, TOP);
          context.lineTo(x, high - BOTTOM);
          context.stroke();
          context.setLineDash([]);
        }
        return;
      }
      let top = 0;
      for (const c of slices) for (let b = 0; b < bins; b++) top = Math.max(top, shares[c * bins + b]!);
      const pitch = (high - BOTTOM - 40) / Math.max(1, slices.length - 1 || 1);
      const height = Math.min(38, Math.max(26, 2.2 * pitch));
      const x = (bin: number) => LEFT + ((bin + 0.5) / bins) * inner;
      for (const [at, c] of slices.entries()) {
        const base = slices.length === 1 ? high - BOTTOM - 4 : 38 + at * pitch;
        const y = (bin: number) => base - (shares[c * bins + bin]! / (top || 1)) * height;
        context.beginPath();
        context.moveTo(x(0), base);
        for (let b = 0; b < bins; b++) context.lineTo(x(b), y(b));
        context.lineTo(x(bins - 1), base);
        context.closePath();
        context.globalAlpha = cursor !== null && cursor !== c ? 0.35 : 0.85;
        context.fillStyle = tint(at / Math.max(1, slices.length - 1), theme);
        context.fill();
        context.globalAlpha = 1;
        context.strokeStyle = palette.bg;
        context.lineWidth = 1;
        context.beginPath();
        for (let b = 0; b < bins; b++) context.lineTo(x(b), y(b));
        context.stroke();
        context.fillStyle = palette.quiet;
        context.textAlign = "right";
        context.textBaseline = "middle";
        if (slices.length <= 6 || at % 2 === 0 || at === slices.length - 1) {
          if (!(at === slices.length - 2 && at % 2 === 0)) context.fillText(count(steps[c]!), LEFT - 6, base - 4);
        }
      }
      context.fillStyle = palette.quiet;
      context.textAlign = "center";
      context.textBaseline = "top";
      for (const tick of roundTicks(edges[0]!, edges[bins]!, 5)) {
        if (log && !Number.isInteger(tick)) continue;
        const to = LEFT + ((tick - edges[0]!) / (edges[bins]! - edges[0]!)) * inner;
        context.fillText(number(value(tick)), Math.min(wide - RIGHT - 10, Math.max(LEFT + 10, to)), high - BOTTOM + 6);
      }
    },
    [spread, run, kind, theme, cursor],
  );

  const stops = kind === "ridge" ? slices : Array.from({ length: columns }, (_, i) => i);
  const at = cursor ?? columns - 1;
  const read = (mark: number) => number(marks[3 * at + mark], 3);
  const spoken =
    columns && bins > 0
      ? `step ${count(steps[at] ?? 0)}: half ${log ? "smaller than" : "below"} ${read(1)}, nine tenths between ${read(0)} and ${read(2)}`
      : "nothing recorded";

  const onKey = (event: KeyboardEvent) => {
    const place = Math.max(0, stops.indexOf(at));
    const end = stops.length - 1;
    const moves: Record<string, number> = {
      ArrowLeft: place - 1,
      ArrowRight: place + 1,
      ArrowUp: place - 1,
      ArrowDown: place + 1,
      Home: 0,
      End: end,
    };
    if (event.key === "Escape") setCursor(null);
    else if (event.key in moves) setCursor(stops[Math.min(end, Math.max(0, moves[event.key]!))] ?? null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const onPointer = (event: PointerEvent<HTMLDivElement>) => {
    const bounds = event.currentTarget.getBoundingClientRect();
    if (kind === "ridge") {
      const pitch = (HEIGHT - BOTTOM - 40) / Math.max(1, slices.length - 1);
      const place = Math.round((event.clientY - bounds.top - 38 + 8) / pitch);
      setCursor(slices[Math.min(slices.length - 1, Math.max(0, place))] ?? null);
      return;
    }
    const share = (event.clientX - bounds.left - LEFT) / Math.max(1, width - LEFT - RIGHT);
    setCursor(share < 0 || share > 1 ? null : nearest(steps, steps[0]! + share * (steps[columns - 1]! - steps[0]!)));
  };

  return (
    <figure className="spread" data-columns={columns} data-kind={kind}>
      <figcaption>
        <span className="name">{title}</span>
        <span className="quiet">{spoken}</span>
      </figcaption>
      <div
        className="plot"
        ref={box}
        role="slider"
        tabIndex={0}
        aria-label={`${kind === "ridge" ? "ridges" : "heat map"} of ${title}`}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, columns - 1)}
        aria-valuenow={Math.max(0, at)}
        aria-valuetext={spoken}
        onKeyDown={onKey}
        onPointerMove={onPointer}
        onPointerLeave={() => setCursor(null)}
        onBlur={() => setCursor(null)}
      >
        <canvas ref={canvas} aria-hidden="true" style={{ width: "100%", height: HEIGHT }} />
      </div>
    </figure>
  );
}

/** Where each sample's column begins and ends: half way to its neighbours. */
export function bordersOf(steps: Float64Array): Float64Array {
  const n = steps.length;
  const borders = new Float64Array(n + 1);
  if (!n) return borders;
  for (let i = 1; i < n; i++) borders[i] = (steps[i - 1]! + steps[i]!) / 2;
  const half = n > 1 ? (steps[n - 1]! - steps[n - 2]!) / 2 : 0.5;
  borders[0] = steps[0]! - (n > 1 ? (steps[1]! - steps[0]!) / 2 : 0.5);
  borders[n] = steps[n - 1]! + half;
  return borders;
}
