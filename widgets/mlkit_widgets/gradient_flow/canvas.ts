/** A canvas that fills its box, sharp on every screen, drawn anew when its box or its content changes. */
import { type RefObject, useEffect, useRef, useState } from "react";

export interface Palette {
  text: string;
  quiet: string;
  grid: string;
  line: string;
  bg: string;
  font: string;
}

export function paletteOf(element: Element): Palette {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(`--${name}`).trim() || "#888";
  return {
    text: read("text"),
    quiet: read("quiet"),
    grid: read("grid"),
    line: read("strong-line"),
    bg: read("bg"),
    font: `11px ${style.fontFamily}`,
  };
}

/** The box's width in CSS pixels, followed while it changes. */
export function useWidth(box: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setWidth(Math.floor(element.clientWidth));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [box]);
  return width;
}

type Draw = (context: CanvasRenderingContext2D, width: number, height: number, palette: Palette) => void;

/** A canvas of the box's width and this height; `draw` runs after each render in which `key` changed. */
export function useCanvas(box: RefObject<HTMLElement | null>, height: number, draw: Draw, key: readonly unknown[]) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(box);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `key` says what the drawing depends on
  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context || width <= 0) return;
    const ratio = window.devicePixelRatio || 1;
    element.width = Math.round(width * ratio);
    element.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    draw(context, width, height, paletteOf(element));
  }, [width, height, ...key]);
  return { canvas, width };
}

/** About `most` round numbers from `low` to `high`. */
export function roundTicks(low: number, high: number, most: number): number[] {
  if (!(high > low)) return [low];
  const raw = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((factor) => power * factor >= raw) ?? 10);
  const ticks: number[] = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-9; tick += step) {
    ticks.push(Number(tick.toPrecision(12)));
  }
  return ticks;
}
