/** A curve that grows: arrays that double, smoothing that continues, thinning that keeps every peak. */

export interface Piece {
  start: number;
  steps: ArrayLike<number>;
  times: ArrayLike<number>;
  values: ArrayLike<number>;
}

export class Series {
  count = 0;
  private steps = new Float64Array(256);
  private times = new Float64Array(256);
  private values = new Float64Array(256);
  private smooth = new Float64Array(0);
  private smoothWeight = -1;
  private smoothCount = 0;
  private total = 0;
  private scale = 0;

  /** Add points; what is known already is skipped. False when points before `piece.start` are missing. */
  append(piece: Piece): boolean {
    if (piece.start > this.count) return false;
    const skip = this.count - piece.start;
    const fresh = piece.steps.length - skip;
    if (fresh <= 0) return true;
    this.reserve(this.count + fresh);
    for (let i = 0; i < fresh; i++) {
      this.steps[this.count + i] = piece.steps[skip + i]!;
      this.times[this.count + i] = piece.times[skip + i]!;
      this.values[this.count + i] = piece.values[skip + i]!;
    }
    this.count += fresh;
    return true;
  }

  private reserve(size: number): void {
    if (size <= this.steps.length) return;
    const capacity = Math.max(size, this.steps.length * 2);
    for (const name of ["steps", "times", "values"] as const) {
      const grown = new Float64Array(capacity);
      grown.set(this[name].subarray(0, this.count));
      this[name] = grown;
    }
  }

  step(): Float64Array {
    return this.steps.subarray(0, this.count);
  }

  time(): Float64Array {
    return this.times.subarray(0, this.count);
  }

  value(): Float64Array {
    return this.values.subarray(0, this.count);
  }

  /** Exponential moving average without the pull of a first guess; computed only for what is new. */
  smoothed(weight: number): Float64Array {
    if (weight !== this.smoothWeight) {
      this.smoothWeight = weight;
      this.smoothCount = 0;
      this.total = 0;
      this.scale = 0;
    }
    if (this.smooth.length < this.count) {
      const grown = new Float64Array(this.steps.length);
      grown.set(this.smooth.subarray(0, this.smoothCount));
      this.smooth = grown;
    }
    for (let i = this.smoothCount; i < this.count; i++) {
      const value = this.values[i]!;
      if (Number.isFinite(value)) {
        this.total = this.total * weight + (1 - weight) * value;
        this.scale = this.scale * weight + (1 - weight);
      }
      this.smooth[i] = this.scale > 0 ? this.total / this.scale : Number.NaN;
    }
    this.smoothCount = this.count;
    return this.smooth.subarray(0, this.count);
  }
}

/** Indices of at most about `points` points that keep the first, the last, and the extremes of each stretch between. */
export function thin(y: Float64Array, points: number): Int32Array | null {
  const count = y.length;
  if (count <= points) return null;
  const stretches = Math.max(1, Math.floor(points / 2) - 1);
  const kept = new Int32Array(2 * stretches + 2);
  let size = 0;
  kept[size++] = 0;
  for (let s = 0; s < stretches; s++) {
    const from = Math.max(1, Math.floor((s * count) / stretches));
    const to = Math.min(count - 1, Math.floor(((s + 1) * count) / stretches));
    let low = -1;
    let high = -1;
    for (let i = from; i < to; i++) {
      const value = y[i]!;
      if (Number.isNaN(value)) continue;
      if (low < 0 || value < y[low]!) low = i;
      if (high < 0 || value > y[high]!) high = i;
    }
    if (low < 0) continue;
    kept[size++] = Math.min(low, high);
    if (low !== high) kept[size++] = Math.max(low, high);
  }
  kept[size++] = count - 1;
  return kept.subarray(0, size);
}

/** The index whose x is nearest; x must not fall. -1 when empty. */
export function nearest(x: Float64Array, at: number): number {
  let low = 0;
  let high = x.length - 1;
  if (high < 0) return -1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle]! < at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at - x[low - 1]! < x[low]! - at ? low - 1 : low;
}
