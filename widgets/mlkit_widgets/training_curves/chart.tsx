/** One panel: the curves of one metric. Values are read and ranges chosen with the mouse or with keys. */
import {
  type KeyboardEvent,
  type PointerEvent,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { share, valueAt } from "../../shared/axis";
import { number } from "../../shared/format";
import { nearest } from "../../shared/series";
import type { Theme } from "../../shared/theme";
import { type Along, isFine, partOf, type Run } from "./board";
import {
  type Drawn,
  HEIGHT,
  type Line,
  marksOf,
  type Painted,
  paint,
  prepare,
  prepareCanvas,
  styleOf,
  type View,
} from "./plot";

/** A drag shorter than this is a click. */
const DRAG = 5;

/** Where all panels of a view read their values: one place on the x axis. */
export class Cursor {
  x: number | null = null;
  /** The panel that the pointer or the keyboard is in. */
  owner: string | null = null;
  private version = 0;
  private readonly listeners = new Set<() => void>();

  set(x: number | null, owner: string | null): void {
    if (x === this.x && owner === this.owner) return;
    this.x = x;
    this.owner = owner;
    this.version += 1;
    for (const listener of this.listeners) listener();
  }
  subscribe = (callback: () => void): (() => void) => {
    this.listeners.add(callback);
    return () => this.listeners.delete(callback);
  };
  snapshot = (): number => this.version;
}

interface Props {
  id: string;
  title: string;
  family: string;
  lines: Line[];
  runs: Run[];
  version: number;
  view: View;
  setZoom(zoom: [number, number] | null): void;
  theme: Theme;
  cursor: Cursor;
}

export function Chart({ id, title, family, lines, runs, version, view, setZoom, theme, cursor }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const overlay = useRef<HTMLCanvasElement>(null);
  const painted = useRef<Painted | null>(null);
  const dragFrom = useRef<number | null>(null);
  const [drag, setDrag] = useState<[number, number] | null>(null);
  const [width, setWidth] = useState(0);
  useSyncExternalStore(cursor.subscribe, cursor.snapshot);
  const { axis, smoothing, logX, logY, zoom } = view;
  const several = runs.length > 1;
  const wanted = useRef(zoom); // a key pressed again before the next drawing goes on from here
  wanted.current = zoom;

  // biome-ignore lint/correctness/useExhaustiveDependencies: `version` says that the curves behind `lines` have grown
  const drawn = useMemo(
    () => prepare(lines, family, { axis, smoothing, logX, logY, zoom }, runs, width),
    [lines, family, axis, smoothing, logX, logY, zoom, runs, version, width],
  );

  useEffect(() => {
    const element = holder.current!;
    const measure = () => setWidth(element.clientWidth);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme changes the colours that `styleOf` reads
  useEffect(() => {
    if (!width) return;
    const context = prepareCanvas(canvas.current!, width);
    if (!context) return;
    painted.current = paint(
      context,
      width,
      drawn,
      marksOf(runs, axis),
      { axis, smoothing, logX, logY, zoom },
      styleOf(holder.current!),
    );
  }, [drawn, runs, axis, smoothing, logX, logY, zoom, width, theme]);

  const at = cursor.x;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme changes the colours that `styleOf` reads
  useEffect(() => {
    if (!width) return;
    const context = prepareCanvas(overlay.current!, width);
    const plot = painted.current;
    if (!context || !plot) return;
    const style = styleOf(holder.current!);
    const { box } = plot;
    if (drag) {
      const [from, to] = [Math.min(...drag), Math.max(...drag)];
      context.fillStyle = style.colour("accent");
      context.globalAlpha = 0.16;
      context.fillRect(from, box.top, to - from, box.height);
      context.globalAlpha = 1;
      context.fillRect(from, box.top, 1, box.height);
      context.fillRect(to, box.top, 1, box.height);
    }
    if (at === null) return;
    const left = box.left + share(plot.x, at) * box.width;
    if (!(left >= box.left - 1 && left <= box.left + box.width + 1)) return;
    context.strokeStyle = style.colour("strong-line");
    context.setLineDash([3, 3]);
    context.beginPath();
    context.moveTo(Math.round(left) + 0.5, box.top);
    context.lineTo(Math.round(left) + 0.5, box.top + box.height);
    context.stroke();
    context.setLineDash([]);
    for (const one of drawn) {
      const { value, x: place } = read(one, at);
      const x = box.left + share(plot.x, place) * box.width;
      const y = box.top + (1 - share(plot.y, value)) * box.height;
      if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
      context.fillStyle = style.colour(one.colour);
      context.strokeStyle = style.colour("bg");
      context.lineWidth = 1.5;
      context.beginPath();
      context.arc(x, y, 4, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    }
  }, [drag, at, drawn, width, theme]);

  const place = at ?? zoom?.[1] ?? null; // where nothing is pointed at: the end of what is shown
  const readings = drawn.map((one) => read(one, place));
  const spoken = `${place === null ? "latest" : where(axis, place)}: ${readings
    .map(({ one, value }) => `${several ? one.label : partOf(one.name) || title} ${number(value)}`)
    .join(", ")}`;
  const ends = painted.current?.x;

  const placeIn = (event: PointerEvent) => event.clientX - holder.current!.getBoundingClientRect().left;
  const valueIn = (left: number): number | null => {
    const plot = painted.current;
    if (!plot) return null;
    return valueAt(plot.x, Math.min(1, Math.max(0, (left - plot.box.left) / plot.box.width)));
  };
  const onDown = (event: PointerEvent) => {
    if (event.button !== 0 || event.pointerType === "touch") return;
    dragFrom.current = placeIn(event);
    holder.current!.setPointerCapture(event.pointerId);
  };
  const onMove = (event: PointerEvent) => {
    const left = placeIn(event);
    const from = dragFrom.current;
    if (from !== null && Math.abs(left - from) > DRAG) setDrag([from, left]);
    const value = valueIn(left);
    // The nearest recorded place, so that the line stands where the values are.
    const longest = drawn.reduce<Drawn | null>(
      (best, one) => (one.x.length > (best?.x.length ?? 0) ? one : best),
      null,
    );
    cursor.set(value === null || !longest ? null : longest.x[nearest(longest.x, value)]!, id);
  };
  const onUp = () => {
    dragFrom.current = null;
    if (!drag) return;
    setDrag(null);
    const ends = drag.map(valueIn).sort((a, b) => (a ?? 0) - (b ?? 0)) as [number, number];
    if (ends[1] > ends[0]) setZoom(ends);
  };
  const cancel = () => {
    dragFrom.current = null;
    setDrag(null);
  };

  const show = (part: [number, number] | null) => {
    wanted.current = part;
    setZoom(part);
  };
  const onKey = (event: KeyboardEvent) => {
    const plot = painted.current;
    const longest = drawn.reduce<Drawn | null>(
      (best, one) => (one.x.length > (best?.x.length ?? 0) ? one : best),
      null,
    );
    if (!plot || !longest) return;
    const { x } = longest;
    const inside = x.filter((value) => value >= plot.x.low && value <= plot.x.high);
    const places = inside.length ? inside : x;
    const last = places.length - 1;
    const now = at === null ? last : nearest(places, at);
    const stride = Math.max(1, Math.round(places.length / 40));
    const [left, right] = wanted.current ?? [plot.x.low, plot.x.high];
    const [first, final] = longest.ends;
    const span = right - left;
    const moves: Record<string, number> = {
      ArrowLeft: now - 1,
      ArrowRight: now + 1,
      PageDown: now - stride,
      PageUp: now + stride,
      Home: 0,
      End: last,
    };
    const { key } = event;
    if (key === "Escape" && drag) cancel();
    else if (key === "Escape" && at !== null) cursor.set(null, null);
    else if (key === "0" || key === "Escape") show(null);
    else if (key === "+" || key === "=" || key === "-") {
      const middle = at !== null && at > left && at < right ? at : (left + right) / 2;
      const factor = key === "-" ? 2 : 0.5;
      const low = Math.max(first, middle - (middle - left) * factor);
      const high = Math.min(final, middle + (right - middle) * factor);
      if (key === "-" || high - low >= 2 * longest.spacing) show(low <= first && high >= final ? null : [low, high]);
    } else if (event.shiftKey && (key === "ArrowLeft" || key === "ArrowRight")) {
      if (zoom) {
        const by = (key === "ArrowLeft" ? -1 : 1) * span * 0.25;
        const shift = Math.max(first - left, Math.min(final - right, by));
        show([left + shift, right + shift]);
      }
    } else if (key in moves) cursor.set(places[Math.min(last, Math.max(0, moves[key]!))]!, id);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const points = lines.reduce((sum, { run, name }) => sum + (run.curves.get(name)?.points ?? 0), 0);
  const best = readings.filter(({ one }) => one.best);
  const fine = lines.every(({ run, name }) => isFine(run.curves.get(name), zoom));
  return (
    <section className="panel" data-family={family} data-points={points} data-detail={fine ? "fine" : "coarse"}>
      <header>
        <div className="title">
          {title}
          {logY ? <span className="quiet"> (log)</span> : null}
        </div>
        {several ? null : (
          <div className="readout">
            {readings.map(({ one, value, raw }) => (
              <div key={one.name} data-part={partOf(one.name)}>
                <span>
                  <i aria-hidden="true" />
                  {partOf(one.name) || (place === null ? "now" : "value")}
                </span>
                <b title={raw === value ? undefined : `as recorded: ${number(raw)}`}>{number(value)}</b>
              </div>
            ))}
          </div>
        )}
      </header>
      <div
        className="plot"
        ref={holder}
        role="slider"
        tabIndex={0}
        aria-label={`curve of ${title}`}
        aria-valuemin={ends?.low ?? 0}
        aria-valuemax={ends?.high ?? 0}
        aria-valuenow={at ?? ends?.high ?? 0}
        aria-valuetext={spoken}
        aria-keyshortcuts="+ - 0 Shift+ArrowLeft Shift+ArrowRight"
        onKeyDown={onKey}
        onBlur={() => cursor.set(null, null)}
        onPointerDown={onDown}
        onPointerMove={onMove}
        onPointerUp={onUp}
        onPointerCancel={cancel}
        onPointerLeave={() => cursor.set(null, null)}
        onDoubleClick={() => setZoom(null)}
      >
        <canvas ref={canvas} style={{ width: "100%", height: HEIGHT }} />
        <canvas ref={overlay} className="overlay" style={{ width: "100%", height: HEIGHT }} aria-hidden="true" />
        {several && at !== null && cursor.owner === id ? <Tip readings={readings} axis={axis} at={at} /> : null}
      </div>
      <footer className="quiet">
        <span className="best">
          {several
            ? bestOfAll(best, family)
            : best.map(({ one }) => `best ${number(one.best!.value)} at step ${number(one.best!.step)}`).join(", ")}
        </span>
        <span>{place === null ? axisTitle(axis) : where(axis, place)}</span>
      </footer>
    </section>
  );
}

interface Reading {
  one: Drawn;
  /** The recorded place that is nearest. */
  x: number;
  value: number;
  raw: number;
  low: number | null;
  high: number | null;
}

/** What a line says at a place on the x axis; at its end where none is chosen. */
function read(one: Drawn, at: number | null): Reading {
  const index = at === null ? one.x.length - 1 : nearest(one.x, at);
  const raw = one.raw[index] ?? Number.NaN;
  const x = one.x[index] ?? Number.NaN;
  const { smooth } = one.coarse;
  return {
    one,
    x,
    raw,
    value: smooth?.[nearest(one.coarse.x, x)] ?? raw,
    low: one.low?.[index] ?? null,
    high: one.high?.[index] ?? null,
  };
}

function bestOfAll(readings: Reading[], family: string): string {
  const sign = /(^|\/)(loss|error|perplexity|mse|mae|rmse)$/.test(family) ? 1 : -1;
  const [first] = [...readings].sort((a, b) => sign * (a.one.best!.value - b.one.best!.value));
  return first ? `best ${number(first.one.best!.value)}: ${first.one.label}` : "";
}

/** Below the plot, where it hides no curve. */
function Tip({ readings, axis, at }: { readings: Reading[]; axis: Along; at: number }) {
  const shown = readings.filter(({ one }) => one.x.length && at >= one.x[0]! && at <= one.x[one.x.length - 1]!);
  return (
    <div className="tip" aria-hidden="true">
      <div className="quiet">{where(axis, at)}</div>
      {shown.slice(0, 10).map(({ one, value, low, high }) => (
        <div key={`${one.run.key} ${one.name}`} className="row">
          <i style={{ color: `var(--${one.colour})` }} />
          <span>{one.label}</span>
          <b>{number(value)}</b>
          {low !== null && high !== null && high > low ? (
            <small className="quiet">
              {number(low, 3)} to {number(high, 3)}
            </small>
          ) : null}
        </div>
      ))}
      {shown.length > 10 ? <div className="quiet">and {shown.length - 10} more</div> : null}
    </div>
  );
}

const axisTitle = (axis: Along) => (axis === "time" ? "seconds" : axis);
const where = (axis: Along, at: number) =>
  axis === "time" ? `${number(at, 3)} s` : `${axis} ${axis === "step" ? Math.round(at) : number(at, 3)}`;
