/** The drawing: dots of ink, and a pen that leaves lines of them. */

export const INK = 56;
const RADIUS = 2.6;

/** A line from one place to another, in dots; places may lie between dots. Ink only ever gets darker. */
export function line(ink: Uint8Array, x0: number, y0: number, x1: number, y1: number, radius = RADIUS): void {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = dx * dx + dy * dy;
  const reach = radius + 1;
  const [left, right] = [Math.floor(Math.min(x0, x1) - reach), Math.ceil(Math.max(x0, x1) + reach)];
  const [top, bottom] = [Math.floor(Math.min(y0, y1) - reach), Math.ceil(Math.max(y0, y1) + reach)];
  for (let y = Math.max(0, top); y <= Math.min(INK - 1, bottom); y++) {
    for (let x = Math.max(0, left); x <= Math.min(INK - 1, right); x++) {
      const along = length ? Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / length)) : 0;
      const distance = Math.hypot(x - x0 - along * dx, y - y0 - along * dy);
      const value = Math.round(255 * Math.max(0, Math.min(1, radius + 0.5 - distance)));
      const at = y * INK + x;
      if (value > ink[at]!) ink[at] = value;
    }
  }
}

/** Grey pixels of values 0 (paper) to 255 (ink), in the colours of the page. */
export function pixels(values: ArrayLike<number>, dark: boolean): Uint8ClampedArray<ArrayBuffer> {
  const [paper, full] = dark
    ? [
        [21, 25, 31],
        [232, 236, 241],
      ]
    : [
        [255, 255, 255],
        [28, 36, 48],
      ]; // prettier-ignore
  const result = new Uint8ClampedArray(values.length * 4);
  for (let i = 0; i < values.length; i++) {
    const share = values[i]! / 255;
    for (let c = 0; c < 3; c++) result[4 * i + c] = paper![c]! + (full![c]! - paper![c]!) * share;
    result[4 * i + 3] = 255;
  }
  return result;
}
