/** Colours of values, and pictures made of them. The same colours as in `picture.py`. */
import type { Theme } from "../../shared/theme";

export type Rgb = readonly [number, number, number];

const LOW: Rgb = [214, 106, 28];
const HIGH: Rgb = [38, 99, 205];
const MIDDLE: Record<Theme, Rgb> = { light: [240, 242, 245], dark: [33, 39, 47] };

export const CLASSES: readonly Rgb[] = [
  LOW,
  HIGH,
  [31, 138, 90],
  [139, 75, 190],
  [200, 60, 90],
  [17, 138, 160],
  [150, 120, 20],
  [110, 110, 120],
];

export const css = ([r, g, b]: Rgb): string => `rgb(${Math.round(r)} ${Math.round(g)} ${Math.round(b)})`;

const mix = (from: Rgb, to: Rgb, share: number): Rgb => [
  from[0] + (to[0] - from[0]) * share,
  from[1] + (to[1] - from[1]) * share,
  from[2] + (to[2] - from[2]) * share,
];

/** The colour of a value from -1 to 1. */
export const colour = (value: number, theme: Theme): Rgb =>
  mix(MIDDLE[theme], value < 0 ? LOW : HIGH, Math.min(1, Math.abs(value)));

/** Colours of the 255 values that a picture can have, as one row of RGB. */
function palette(theme: Theme, strength: number): Uint8ClampedArray {
  const row = new Uint8ClampedArray(256 * 3);
  for (let i = -128; i < 128; i++) row.set(colour((strength * i) / 127, theme), (i + 128) * 3);
  return row;
}

const palettes = new Map<string, Uint8ClampedArray>();
function paletteOf(theme: Theme, strength: number): Uint8ClampedArray {
  const key = `${theme} ${strength}`;
  const known = palettes.get(key) ?? palette(theme, strength);
  palettes.set(key, known);
  return known;
}

/** Values between the given ones, on a finer grid: int8 [size, size] to float [fine, fine]. */
export function refine(values: ArrayLike<number>, size: number, fine: number, offset = 0): Float32Array {
  const result = new Float32Array(fine * fine);
  const step = (size - 1) / (fine - 1);
  for (let row = 0; row < fine; row++) {
    const y = row * step;
    const top = Math.min(size - 2, Math.floor(y));
    const down = y - top;
    for (let column = 0; column < fine; column++) {
      const x = column * step;
      const left = Math.min(size - 2, Math.floor(x));
      const right = x - left;
      const at = offset + top * size + left;
      const above = values[at]! * (1 - right) + values[at + 1]! * right;
      const below = values[at + size]! * (1 - right) + values[at + size + 1]! * right;
      result[row * fine + column] = above * (1 - down) + below * down;
    }
  }
  return result;
}

/** One neuron's picture as pixels. */
export function pixelsOf(values: ArrayLike<number>, theme: Theme, discrete = false, strength = 1): Uint8ClampedArray {
  const colours = paletteOf(theme, strength);
  const pixels = new Uint8ClampedArray(values.length * 4);
  for (let i = 0; i < values.length; i++) {
    const value = discrete ? (values[i]! < 0 ? -127 : 127) : Math.round(values[i]!);
    const at = (value + 128) * 3;
    pixels[4 * i] = colours[at]!;
    pixels[4 * i + 1] = colours[at + 1]!;
    pixels[4 * i + 2] = colours[at + 2]!;
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}

/** Several classes' probabilities (each [fine, fine], 0 to 127) as pixels: each class has its colour. */
export function mixedPixels(shares: Float32Array[], theme: Theme, discrete: boolean): Uint8ClampedArray {
  const size = shares[0]!.length;
  const pixels = new Uint8ClampedArray(size * 4);
  const ground = MIDDLE[theme];
  for (let i = 0; i < size; i++) {
    let total = 1e-9;
    let r = 0;
    let g = 0;
    let b = 0;
    let best = 0;
    for (let k = 0; k < shares.length; k++) {
      const weight = shares[k]![i]! ** 2;
      const rgb = CLASSES[k]!;
      r += weight * rgb[0];
      g += weight * rgb[1];
      b += weight * rgb[2];
      total += weight;
      if (shares[k]![i]! > shares[best]![i]!) best = k;
    }
    const mixed: Rgb = discrete ? CLASSES[best]! : [r / total, g / total, b / total];
    pixels.set(mix(ground, mixed, 0.55), 4 * i);
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}

/** A mark of its own for each class, so that colour is not all that tells them apart. Leaves the path open to fill. */
export function mark(path: CanvasRenderingContext2D | Path2D, kind: number, x: number, y: number, r: number): void {
  const corners: Record<number, [sides: number, turn: number]> = {
    1: [4, Math.PI / 4],
    2: [3, -Math.PI / 2],
    3: [4, 0],
    4: [3, Math.PI / 2],
    5: [5, -Math.PI / 2],
    6: [6, 0],
    7: [3, 0],
  };
  const shape = corners[kind];
  if (!shape) {
    path.moveTo(x + r, y);
    path.arc(x, y, r, 0, 2 * Math.PI);
    return;
  }
  const [sides, turn] = shape;
  const reach = r * (sides === 3 ? 1.35 : 1.2);
  for (let i = 0; i <= sides; i++) {
    const angle = turn + (2 * Math.PI * i) / sides;
    const to: [number, number] = [x + reach * Math.cos(angle), y + reach * Math.sin(angle)];
    if (i === 0) path.moveTo(...to);
    else path.lineTo(...to);
  }
}
