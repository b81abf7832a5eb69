/** One panel: the curves of one metric. uPlot draws; reading values works with the mouse and with arrow keys. */
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import { number } from "../../shared/format";
import { nearest, type Series, thin } from "../../shared/series";
import type { Theme } from "../../shared/theme";
import { type Along, along, bestIndex, isLoss, partOf, type Run, stepsPerEpoch, titleOf } from "./run";

const HEIGHT = 190;

interface Curve {
  name: string;
  part: string;
  series: Series;
  x: Float64Array;
}

interface Props {
  run: Run;
  version: number;
  family: string;
  names: string[];
  axis: Along;
  smoothing: number;
  logY: boolean;
  theme: Theme;
  cursorKey: string;
}

interface Palette {
  colour(part: string): string;
  text: string;
  quiet: string;
  grid: string;
  line: string;
  mark: string;
  bg: string;
}

function palette(element: Element): Palette {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(`--${name}`).trim() || "#888";
  return {
    colour: (part) => read(part === "train" || part === "valid" ? part : "other"),
    text: read("text"),
    quiet: read("quiet"),
    grid: read("grid"),
    line: read("strong-line"),
    mark: read("mark"),
    bg: read("bg"),
  };
}

const alpha = (hex: string, opacity: number): string =>
  `${hex}${Math.round(opacity * 255)
    .toString(16)
    .padStart(2, "0")}`;

/** Points of one line, thinned to what the width can show; null where there is nothing to draw. */
function table(x: Float64Array, y: Float64Array, points: number, log: boolean): [number[], (number | null)[]] {
  const kept = thin(y, points);
  const size = kept ? kept.length : x.length;
  const xs: number[] = [];
  const ys: (number | null)[] = [];
  for (let i = 0; i < size; i++) {
    const at = kept ? kept[i]! : i;
    const value = y[at]!;
    if (xs.length && x[at]! <= xs[xs.length - 1]!) continue; // uPlot wants rising x
    xs.push(x[at]!);
    ys.push(Number.isFinite(value) && (!log || value > 0) ? value : null);
  }
  return [xs, ys];
}

export function Chart({ run, version, family, names, axis, smoothing, logY, theme, cursorKey }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const title = titleOf(family);
  const [at, setAt] = useState<number | null>(null);
  const log = logY && isLoss(family);
  const perEpoch = stepsPerEpoch(run.status);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `version` says that the series behind `run` have grown
  const curves: Curve[] = useMemo(
    () =>
      names.flatMap((name) => {
        const series = run.series.get(name);
        return series ? [{ name, part: partOf(name), series, x: along(series, axis, perEpoch) }] : [];
      }),
    [names, run, axis, perEpoch, version],
  );
  const pale = smoothing > 0;
  const layout = curves.map((curve) => curve.name).join("|");
  const latest = useRef({ curves, family, axis, perEpoch, run });
  latest.current = { curves, family, axis, perEpoch, run };

  // A new plot only when its shape changes; values flow in through setData below.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the curves themselves are read through `latest`
  useEffect(() => {
    const element = box.current!;
    const colours = palette(element);
    const font = `11px ${getComputedStyle(element).fontFamily}`;
    const lines: uPlot.Series[] = [];
    for (const { part } of latest.current.curves) {
      const colour = colours.colour(part);
      if (part === "train" && pale) {
        lines.push({ stroke: alpha(colour, 0.3), width: 1, spanGaps: true, points: { show: false } });
      }
      lines.push({
        stroke: colour,
        width: part === "valid" ? 2 : 1.8,
        spanGaps: true,
        points: part === "valid" ? { show: true, size: 5, fill: colour } : { show: false },
      });
    }
    const axes = { stroke: colours.quiet, grid: { stroke: colours.grid, width: 1 }, ticks: { show: false }, font };
    const made = new uPlot(
      {
        width: element.clientWidth || 300,
        height: HEIGHT,
        padding: [8, 10, 0, 0],
        legend: { show: false },
        scales: {
          x: { time: false, range: (_, low, high) => (high > low ? [low, high] : [low - 0.5, high + 0.5]) },
          y: log ? { distr: 3 } : { range: (_, low, high) => spread(low, high) },
        },
        cursor: {
          sync: { key: cursorKey, scales: ["x", null] },
          drag: { x: false, y: false },
          points: { show: false },
          y: false,
        },
        axes: [
          { ...axes, space: 60, size: 24, values: (_, ticks) => ticks.map((tick) => number(tick)) },
          {
            ...axes,
            space: 34,
            size: (u, ticks) => {
              const longest = (ticks ?? []).reduce(
                (most, tick) => (tick && tick.length > most.length ? tick : most),
                "",
              );
              u.ctx.font = font;
              return 12 + Math.ceil(u.ctx.measureText(longest).width);
            },
            values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick))),
          },
        ],
        series: [{}, ...lines],
        hooks: {
          setCursor: [
            (u) => setAt(u.cursor.left !== undefined && u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : null),
          ],
          draw: [(u) => drawMarks(u, latest.current, colours, font)],
        },
      },
      [[], ...lines.map(() => [])] as uPlot.AlignedData,
      element,
    );
    plot.current = made;
    const resize = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width > 0 && width !== made.width) made.setSize({ width, height: HEIGHT });
    });
    resize.observe(element);
    return () => {
      resize.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [layout, pale, log, theme, cursorKey]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a plot made anew needs its data again
  useEffect(() => {
    const made = plot.current;
    if (!made) return;
    const points = Math.max(200, 2 * made.width);
    const tables: [number[], (number | null)[]][] = [];
    for (const { part, series, x } of curves) {
      if (part === "train" && pale) {
        tables.push(table(x, series.value(), points, log));
        tables.push(table(x, series.smoothed(smoothing), points, log));
      } else {
        tables.push(table(x, series.value(), points, log));
      }
    }
    made.setData(uPlot.join(tables as never) as uPlot.AlignedData);
  }, [curves, smoothing, layout, pale, log, theme, cursorKey]);

  const shown = curves.flatMap(({ name, part, series, x }) => {
    if (series.count === 0) return [];
    const index = at === null ? series.count - 1 : nearest(x, at);
    const smooth = part === "train" && pale;
    const values = series.value();
    const best = part === "valid" ? bestIndex(values, family) : -1;
    return [
      {
        name,
        part,
        value: smooth ? series.smoothed(smoothing)[index]! : values[index]!,
        raw: smooth ? values[index]! : null,
        best: best < 0 ? null : { value: values[best]!, step: series.step()[best]! },
      },
    ];
  });

  const range = plot.current?.scales.x;
  const position = at === null ? "latest" : where(axis, at);
  const spoken = `${position}: ${shown.map((item) => `${item.part || title} ${number(item.value)}`).join(", ")}`;

  const onKey = (event: KeyboardEvent) => {
    const made = plot.current;
    const x = made?.data[0];
    if (!made || !x?.length) return;
    const last = x.length - 1;
    const now = at === null ? last : nearest(Float64Array.from(x), at);
    const stride = Math.max(1, Math.round(x.length / 40));
    const moves: Record<string, number> = {
      ArrowLeft: now - 1,
      ArrowRight: now + 1,
      PageDown: now - stride,
      PageUp: now + stride,
      Home: 0,
      End: last,
    };
    if (event.key === "Escape") made.setCursor({ left: -10, top: -10 });
    else if (event.key in moves) {
      const to = Math.min(last, Math.max(0, moves[event.key]!));
      made.setCursor({ left: made.valToPos(x[to]!, "x"), top: 10 });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <section className="panel" data-family={family} data-points={curves.reduce((sum, c) => sum + c.series.count, 0)}>
      <header>
        <div className="title">
          {title}
          {log ? <span className="quiet"> (log)</span> : null}
        </div>
        <div className="readout">
          {shown.map((item) => (
            <div key={item.name} data-part={item.part}>
              <span>
                <i aria-hidden="true" />
                {item.part || (at === null ? "now" : "value")}
              </span>
              <b title={item.raw === null ? undefined : `as recorded: ${number(item.raw)}`}>{number(item.value)}</b>
            </div>
          ))}
        </div>
      </header>
      <div
        className="plot"
        ref={box}
        role="slider"
        tabIndex={0}
        aria-label={`curve of ${family}`}
        aria-valuemin={range?.min ?? 0}
        aria-valuemax={range?.max ?? 0}
        aria-valuenow={at ?? range?.max ?? 0}
        aria-valuetext={spoken}
        onKeyDown={onKey}
        onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })}
      />
      <footer className="quiet">
        <span>
          {shown
            .filter((item) => item.best)
            .map((item) => `best ${number(item.best!.value)} at step ${number(item.best!.step)}`)
            .join("")}
        </span>
        <span>{at === null ? axisTitle(axis) : where(axis, at)}</span>
      </footer>
    </section>
  );
}

const axisTitle = (axis: Along) => (axis === "time" ? "seconds" : axis);
const where = (axis: Along, at: number) =>
  axis === "time" ? `${number(at, 3)} s` : `${axis} ${axis === "step" ? Math.round(at) : number(at, 3)}`;

function spread(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const pad = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low - pad, high + pad];
}

/** The best validation value as a ring, and each change of the learning rate as a dashed line with its new value. */
function drawMarks(
  u: uPlot,
  {
    curves,
    family,
    axis,
    perEpoch,
    run,
  }: { curves: Curve[]; family: string; axis: Along; perEpoch: number | null; run: Run },
  colours: Palette,
  font: string,
): void {
  const { ctx } = u;
  const ratio = devicePixelRatio || 1;
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left - 8, u.bbox.top - 8, u.bbox.width + 16, u.bbox.height + 8);
  ctx.clip();
  ctx.lineWidth = ratio;
  ctx.strokeStyle = colours.mark;
  ctx.fillStyle = colours.mark;
  ctx.font = font.replace("11px", `${Math.round(10 * ratio)}px`);
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  for (const event of run.events) {
    if (event.kind !== "hyper" || event.name !== "lr" || event.step === undefined) continue;
    const x = axis === "time" ? (event.t ?? 0) : axis === "epoch" && perEpoch ? event.step / perEpoch : event.step;
    const left = Math.round(u.valToPos(x, "x", true)) + 0.5;
    if (left < u.bbox.left || left > u.bbox.left + u.bbox.width) continue;
    ctx.setLineDash([4 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(left, u.bbox.top);
    ctx.lineTo(left, u.bbox.top + u.bbox.height);
    ctx.stroke();
    const words = `lr ${number(event.value as number)}`;
    const wide = ctx.measureText(words).width;
    const flip = left + wide + 6 * ratio > u.bbox.left + u.bbox.width;
    ctx.fillText(words, flip ? left - wide - 4 * ratio : left + 4 * ratio, u.bbox.top + 2 * ratio);
  }
  ctx.setLineDash([]);
  for (const { part, series, x } of curves) {
    if (part !== "valid") continue;
    const best = bestIndex(series.value(), family);
    if (best < 0) continue;
    const left = u.valToPos(x[best]!, "x", true);
    const top = u.valToPos(series.value()[best]!, "y", true);
    ctx.beginPath();
    ctx.arc(left, top, 5.5 * ratio, 0, 2 * Math.PI);
    ctx.lineWidth = 2 * ratio;
    ctx.strokeStyle = colours.colour("valid");
    ctx.fillStyle = colours.bg;
    ctx.fill();
    ctx.stroke();
  }
  ctx.restore();
}
