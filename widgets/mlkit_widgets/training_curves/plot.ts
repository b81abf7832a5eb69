/** Drawing one panel on a canvas: what to draw is prepared from the runs, then painted in one pass. */
import { type Axis, share, ticks } from "../../shared/axis";
import { number } from "../../shared/format";
import { nearest } from "../../shared/series";
import {
  type Along,
  along,
  bestOf,
  branchOf,
  type Columns,
  colourOf,
  isFine,
  partOf,
  placeOf,
  type Run,
  smoothed,
  stepsPerEpoch,
} from "./board";

export const HEIGHT = 200;
const BOTTOM = 24;
const TOP = 8;
const RIGHT = 10;

/** One series of one run, and how it is told from the others. */
export interface Line {
  run: Run;
  name: string;
  label: string;
  /** Name of a colour in the style sheet. */
  colour: string;
}

export interface Drawn extends Line {
  /** What is read: as fine as the page has it. */
  x: Float64Array;
  raw: Float64Array;
  low: Float32Array | null;
  high: Float32Array | null;
  /** What is painted: no more than the panel has dots. */
  coarse: Coarse;
  /** Where the whole curve begins and ends, whatever part of it is in view. */
  ends: [number, number];
  /** How far recorded points lie apart, on the average of the whole curve. */
  spacing: number;
  best: { x: number; value: number; step: number } | null;
}

export interface Coarse {
  x: Float64Array;
  mean: Float64Array;
  low: Float32Array | null;
  high: Float32Array | null;
  smooth: Float64Array | null;
}

export interface Mark {
  x: number;
  words: string;
  colour: string;
}

export interface View {
  axis: Along;
  smoothing: number;
  logX: boolean;
  logY: boolean;
  zoom: [number, number] | null;
}

/** The lines of a panel with their numbers along the chosen axis. */
export function prepare(lines: Line[], family: string, view: View, runs: Run[], width = 800): Drawn[] {
  return lines.flatMap((line): Drawn[] => {
    const curve = line.run.curves.get(line.name);
    if (!curve || curve.step.length === 0) return [];
    const { zoom } = view;
    const { window } = curve;
    let part: Columns = zoom && window && isFine(curve, zoom) ? window : curve;
    if (part.step.length === 0) part = curve;
    const begin = branchOf(line.run, runs);
    if (begin !== null) part = from(part, begin);
    const perEpoch = stepsPerEpoch(line.run.status);
    const recorded = partOf(line.name) === "train";
    const exact = bestOf(curve, family);
    const ringed =
      exact !== null && (partOf(line.name) === "valid" || (runs.length > 1 && !recorded && family !== "lr"));
    const x = along(part, view.axis, perEpoch);
    const whole = along(curve, view.axis, perEpoch);
    const coarse = coarsen(x, part, zoom, Math.max(100, width));
    return [
      {
        ...line,
        x,
        raw: part.mean,
        low: part.low,
        high: part.high,
        coarse: { ...coarse, smooth: recorded && view.smoothing > 0 ? smoothed(coarse.mean, view.smoothing) : null },
        ends: [whole[0]!, whole[whole.length - 1]!],
        spacing: (whole[whole.length - 1]! - whole[0]!) / Math.max(1, curve.points - 1),
        best: ringed ? { x: placeOf(view.axis, perEpoch, exact[0], exact[1]), value: exact[2], step: exact[0] } : null,
      },
    ];
  });
}

/** The part in view in at most about `most` stretches: neighbours are merged, and no peak is lost. */
export function coarsen(
  x: Float64Array,
  part: Columns,
  zoom: [number, number] | null,
  most: number,
): Omit<Coarse, "smooth"> {
  let begin = 0;
  let end = x.length;
  if (zoom && end) {
    begin = Math.max(0, nearest(x, zoom[0]) - 2);
    end = Math.min(x.length, nearest(x, zoom[1]) + 3);
  }
  let size = 1; // a power of two, and stretches that begin at its multiples: they stand still while a curve grows
  while ((end - begin) / size > most) size *= 2;
  const { mean, low, high } = part;
  if (size === 1) {
    return {
      x: x.subarray(begin, end),
      mean: mean.subarray(begin, end),
      low: low?.subarray(begin, end) ?? null,
      high: high?.subarray(begin, end) ?? null,
    };
  }
  begin -= begin % size;
  const count = Math.ceil((end - begin) / size);
  const merged = {
    x: new Float64Array(count),
    mean: new Float64Array(count),
    low: new Float32Array(count),
    high: new Float32Array(count),
  };
  for (let i = 0; i < count; i++) {
    const from = begin + i * size;
    const to = Math.min(end, from + size);
    let sum = 0;
    let known = 0;
    let least = Number.POSITIVE_INFINITY;
    let most = Number.NEGATIVE_INFINITY;
    for (let j = from; j < to; j++) {
      const value = mean[j]!;
      if (!Number.isFinite(value)) continue;
      sum += value;
      known += 1;
      least = Math.min(least, low ? low[j]! : value);
      most = Math.max(most, high ? high[j]! : value);
    }
    merged.x[i] = x[to - 1]!;
    merged.mean[i] = known ? sum / known : Number.NaN;
    merged.low[i] = known ? least : Number.NaN;
    merged.high[i] = known ? most : Number.NaN;
  }
  return merged;
}

function from(part: Columns, step: number): Columns {
  let at = 0;
  while (at < part.step.length && part.step[at]! < step) at++;
  return {
    step: part.step.subarray(at),
    time: part.time.subarray(at),
    mean: part.mean.subarray(at),
    low: part.low?.subarray(at) ?? null,
    high: part.high?.subarray(at) ?? null,
  };
}

/** New values of hyperparameters, and where clones left, as places on the x axis. */
export function marksOf(runs: Run[], axis: Along): Mark[] {
  const several = runs.length > 1;
  return runs.flatMap((run) => {
    const colour = several ? colourOf(run) : "mark";
    const perEpoch = stepsPerEpoch(run.status);
    return run.events.flatMap((event): Mark[] => {
      if (event.step === undefined) return [];
      const x = placeOf(axis, perEpoch, event.step, event.t ?? 0);
      if (event.kind === "hyper") {
        return [{ x, words: `${event.name as string} ${number(event.value as number)}`, colour }];
      }
      if (event.kind === "clone" && several) return [{ x, words: "cloned", colour }];
      return [];
    });
  });
}

/** The ends of both axes; null where there is nothing to draw. */
export function axesOf(drawn: Drawn[], view: View): { x: Axis; y: Axis } | null {
  let left = Number.POSITIVE_INFINITY;
  let right = Number.NEGATIVE_INFINITY;
  const logX = view.logX && drawn.some(({ x }) => x.length > 0 && x[x.length - 1]! > 0);
  for (const { x } of drawn) {
    if (!x.length) continue;
    let first = 0;
    while (logX && first < x.length - 1 && x[first]! <= 0) first++;
    left = Math.min(left, x[first]!);
    right = Math.max(right, x[x.length - 1]!);
  }
  if (view.zoom) {
    left = logX ? Math.max(left, view.zoom[0]) : view.zoom[0];
    right = view.zoom[1];
  }
  if (!Number.isFinite(left) || !Number.isFinite(right)) return null;
  const x: Axis =
    right > left ? { low: left, high: right, log: logX } : { low: left - 0.5, high: left + 0.5, log: false };
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let positive = Number.POSITIVE_INFINITY;
  for (const { coarse } of drawn) {
    const [begin, end] = visible(coarse.x, x);
    for (let i = begin; i < end; i++) {
      const least = coarse.low ? coarse.low[i]! : coarse.mean[i]!;
      const most = coarse.high ? coarse.high[i]! : coarse.mean[i]!;
      if (least < low) low = least;
      if (most > high) high = most;
      if (least > 0 && least < positive) positive = least;
      else if (most > 0 && most < positive) positive = most;
    }
  }
  if (!Number.isFinite(low) || !Number.isFinite(high)) return { x, y: { low: 0, high: 1, log: false } };
  if (view.logY && Number.isFinite(positive)) {
    const pad = Math.max((high / positive) ** 0.06, 1.05);
    return { x, y: { low: positive / pad, high: high * pad, log: true } };
  }
  const pad = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return { x, y: { low: low - pad, high: high + pad, log: false } };
}

/** Indices of the points inside an axis, with one more on each side. */
function visible(x: Float64Array, axis: Axis): [number, number] {
  if (!x.length) return [0, 0];
  let begin = nearest(x, axis.low);
  let end = nearest(x, axis.high);
  if (begin > 0 && x[begin]! > axis.low) begin--;
  if (end < x.length - 1 && x[end]! < axis.high) end++;
  return [begin, end + 1];
}

/** Where the plot lies inside its canvas. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface Painted {
  box: Box;
  x: Axis;
  y: Axis;
}

export interface Style {
  colour(name: string): string;
  font: string;
}

export function styleOf(element: Element): Style {
  const style = getComputedStyle(element);
  return {
    colour: (name) => style.getPropertyValue(`--${name}`).trim() || "#888",
    font: style.fontFamily,
  };
}

/** Make a canvas sharp on this screen and clear it. */
export function prepareCanvas(canvas: HTMLCanvasElement, width: number): CanvasRenderingContext2D | null {
  const ratio = window.devicePixelRatio || 1;
  const wide = Math.round(width * ratio);
  const tall = Math.round(HEIGHT * ratio);
  if (canvas.width !== wide || canvas.height !== tall) {
    canvas.width = wide;
    canvas.height = tall;
  }
  const context = canvas.getContext("2d");
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  context?.clearRect(0, 0, width, HEIGHT);
  return context;
}

export function paint(
  context: CanvasRenderingContext2D,
  width: number,
  drawn: Drawn[],
  marks: Mark[],
  view: View,
  style: Style,
): Painted | null {
  const axes = axesOf(drawn, view);
  if (!axes) return null;
  const { x, y } = axes;
  const tall = HEIGHT - TOP - BOTTOM;
  const yTicks = ticks(y, 6);
  context.font = `11px ${style.font}`;
  const widest = yTicks.reduce((most, tick) => Math.max(most, context.measureText(number(tick)).width), 0);
  // In steps, so that it does not move with every new label.
  const left = Math.max(44, Math.ceil((widest + 12) / 8) * 8);
  const box: Box = { left, top: TOP, width: Math.max(10, width - left - RIGHT), height: tall };
  const px = (value: number) => box.left + share(x, value) * box.width;
  const py = (value: number) => box.top + (1 - share(y, value)) * box.height;

  context.lineWidth = 1;
  context.strokeStyle = style.colour("grid");
  context.fillStyle = style.colour("quiet");
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.beginPath();
  for (const tick of yTicks) {
    const at = Math.round(py(tick)) + 0.5;
    context.moveTo(box.left, at);
    context.lineTo(box.left + box.width, at);
    context.fillText(number(tick), box.left - 7, at);
  }
  context.stroke();
  context.textBaseline = "top";
  context.textAlign = "center";
  for (const tick of ticks(x, Math.max(2, Math.floor(box.width / 58)))) {
    if (view.axis === "step" && !Number.isInteger(tick)) continue;
    const words = short(tick);
    const half = context.measureText(words).width / 2;
    const at = Math.min(Math.max(px(tick), half), width - half);
    context.fillText(words, at, box.top + box.height + 7);
  }

  context.save();
  context.beginPath();
  context.rect(box.left - 6, box.top - 6, box.width + 12, box.height + 12);
  context.clip();
  context.lineJoin = "round";
  const crowded = drawn.length > 2;
  for (const one of drawn) {
    const colour = style.colour(one.colour);
    const { coarse } = one;
    const [begin, end] = visible(coarse.x, x);
    if (coarse.low && coarse.high) {
      context.globalAlpha = crowded ? 0.12 : 0.2;
      context.fillStyle = colour;
      band(context, coarse, begin, end, px, py, y.log);
    } else if (coarse.smooth) {
      context.globalAlpha = crowded ? 0.22 : 0.35;
      stroke(context, coarse.x, coarse.mean, begin, end, px, py, colour, 1);
    }
    context.globalAlpha = 1;
    stroke(context, coarse.x, coarse.smooth ?? coarse.mean, begin, end, px, py, colour, 1.8);
    if (partOf(one.name) === "valid" ? end - begin <= 80 : end - begin <= 2) {
      context.fillStyle = colour;
      for (let i = begin; i < end; i++) {
        const value = coarse.mean[i]!;
        if (!Number.isFinite(value) || (y.log && value <= 0)) continue;
        context.beginPath();
        context.arc(px(coarse.x[i]!), py(value), 2.4, 0, 2 * Math.PI);
        context.fill();
      }
    }
  }
  paintMarks(context, marks, box, x, px, style);
  for (const { best, colour } of drawn) {
    if (!best || best.x < x.low || best.x > x.high || (y.log && best.value <= 0)) continue;
    context.beginPath();
    context.arc(px(best.x), py(best.value), 5, 0, 2 * Math.PI);
    context.lineWidth = 2;
    context.strokeStyle = style.colour(colour);
    context.fillStyle = style.colour("bg");
    context.fill();
    context.stroke();
  }
  context.restore();
  return { box, x, y };
}

/** A large number of steps in few letters: 500k, 1.5M. */
function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${number(value / 1e6)}M`;
  return size >= 1e4 ? `${number(value / 1e3)}k` : number(value);
}

function stroke(
  context: CanvasRenderingContext2D,
  x: Float64Array,
  values: Float64Array,
  begin: number,
  end: number,
  px: (value: number) => number,
  py: (value: number) => number,
  colour: string,
  width: number,
): void {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  let drawing = false;
  for (let i = begin; i < end; i++) {
    const left = px(x[i]!);
    const top = py(values[i]!);
    if (!Number.isFinite(left) || !Number.isFinite(top)) continue; // a gap is bridged: the next point is what counts
    if (drawing) context.lineTo(left, top);
    else context.moveTo(left, top);
    drawing = true;
  }
  context.stroke();
}

function band(
  context: CanvasRenderingContext2D,
  { x, low, high }: Coarse,
  begin: number,
  end: number,
  px: (value: number) => number,
  py: (value: number) => number,
  log: boolean,
): void {
  context.beginPath();
  for (let i = begin; i < end; i++) {
    const left = px(x[i]!);
    const top = py(high![i]!);
    if (Number.isFinite(left) && Number.isFinite(top)) context.lineTo(left, top);
  }
  for (let i = end - 1; i >= begin; i--) {
    const left = px(x[i]!);
    const bottom = py(log && low![i]! <= 0 ? high![i]! : low![i]!);
    if (Number.isFinite(left) && Number.isFinite(bottom)) context.lineTo(left, bottom);
  }
  context.closePath();
  context.fill();
}

/** Dashed lines with their words, each in one of two rows; words that would overlap others are left to the pointer. */
function paintMarks(
  context: CanvasRenderingContext2D,
  marks: Mark[],
  box: Box,
  x: Axis,
  px: (value: number) => number,
  style: Style,
): void {
  context.lineWidth = 1;
  context.font = `10px ${style.font}`;
  context.textBaseline = "top";
  context.textAlign = "left";
  const rows = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let drawnAt = Number.NEGATIVE_INFINITY;
  const labels: [string, number, number, string][] = [];
  for (const mark of [...marks].sort((a, b) => a.x - b.x)) {
    if (mark.x < x.low || mark.x > x.high) continue;
    const left = Math.round(px(mark.x)) + 0.5;
    if (left - drawnAt < 1) continue;
    drawnAt = left;
    const colour = style.colour(mark.colour);
    context.strokeStyle = colour;
    context.setLineDash([4, 3]);
    context.beginPath();
    context.moveTo(left, box.top);
    context.lineTo(left, box.top + box.height);
    context.stroke();
    const wide = context.measureText(mark.words).width;
    const flip = left + wide + 6 > box.left + box.width;
    const begin = flip ? left - wide - 4 : left + 4;
    const row = rows.findIndex((end) => end + 6 < begin);
    if (row < 0) continue;
    rows[row] = begin + wide;
    labels.push([mark.words, begin, box.top + 1 + 12 * row, colour]);
  }
  context.setLineDash([]);
  context.lineWidth = 3;
  context.strokeStyle = style.colour("bg"); // words stay readable where lines run through them
  for (const [words, left, top, colour] of labels) {
    context.fillStyle = colour;
    context.strokeText(words, left, top);
    context.fillText(words, left, top);
  }
}
