/** One axis of a plot: from values to dots and back, and round numbers to label it with. */

export interface Axis {
  low: number;
  high: number;
  log: boolean;
}

/** Where a value lies, 0 at the axis' low end and 1 at its high end; NaN where a logarithm has none. */
export function share({ low, high, log }: Axis, value: number): number {
  if (!log) return (value - low) / (high - low);
  return value > 0 ? Math.log(value / low) / Math.log(high / low) : Number.NaN;
}

/** The inverse of `share`. */
export function valueAt({ low, high, log }: Axis, part: number): number {
  return log ? low * (high / low) ** part : low + part * (high - low);
}

/** About `count` round numbers between the ends; on a logarithmic axis powers of ten, with 2 and 5 times those if few. */
export function ticks({ low, high, log }: Axis, count: number): number[] {
  if (!(high > low) || !Number.isFinite(high - low)) return [low];
  if (log) {
    const decades = Math.log10(high / low);
    if (decades >= 0.7) {
      const every = Math.max(1, Math.ceil(decades / Math.max(2, count)));
      const factors = decades > Math.max(2, count / 3) ? [1] : [1, 2, 5];
      const found: number[] = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
        if (power % every) continue;
        for (const factor of factors) {
          const tick = Number(`${factor}e${power}`);
          if (tick >= low && tick <= high) found.push(tick);
        }
      }
      if (found.length > 1) return found;
    }
  }
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw)!;
  const found: number[] = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) {
    found.push(Number((at * step).toPrecision(12)));
  }
  return found;
}
