/**
 * A quick layered layout for levels with very many boxes: rows by the longest way from the start, order in the rows by
 * the average place of neighbours, and long graphs broken into columns like a newspaper. Linear in boxes and arrows,
 * where the careful layout takes seconds.
 */
export interface Size {
  width: number;
  height: number;
}

export interface Layered {
  x: number[];
  y: number[];
  width: number;
  height: number;
  /** For each arrow: its points. */
  points: [number, number][][];
}

const GAP_X = 22;
const GAP_Y = 34;
const COLUMN = 70;
/** Rows below which nothing is broken into columns. */
const LONG = 60;

/** `broken`: into how many columns; by default as many as make a long graph about as wide as high. */
export function layered(sizes: Size[], edges: [number, number][], broken = 0): Layered {
  const count = sizes.length;
  const next: number[][] = sizes.map(() => []);
  const before: number[][] = sizes.map(() => []);
  const waiting = new Array<number>(count).fill(0);
  for (const [a, b] of edges) {
    if (a === b) continue;
    next[a]!.push(b);
    before[b]!.push(a);
    waiting[b]! += 1;
  }
  // Rows by the longest way. In a loop (a module that is called twice) the one that comes first goes first.
  const row = new Array<number>(count).fill(0);
  const done = new Array<boolean>(count).fill(false);
  const ready = waiting.flatMap((many, i) => (many === 0 ? [i] : []));
  let [taken, first] = [0, 0];
  while (taken < count) {
    let i = ready.pop();
    if (i === undefined) {
      while (done[first]) first += 1;
      i = first;
    }
    if (done[i]) continue;
    done[i] = true;
    taken += 1;
    for (const b of next[i]!) {
      if (done[b]) continue;
      row[b] = Math.max(row[b]!, row[i]! + 1);
      waiting[b]! -= 1;
      if (waiting[b] === 0) ready.push(b);
    }
  }
  const rows: number[][] = [];
  for (let i = 0; i < count; i++) {
    rows[row[i]!] ??= [];
    rows[row[i]!]!.push(i);
  }
  const place = new Array<number>(count).fill(0);
  const settle = (line: number[]) => {
    for (let k = 0; k < line.length; k++) place[line[k]!] = (k + 0.5) / line.length;
  };
  rows.forEach(settle);
  const mean = (others: number[], own: number) =>
    others.length ? others.reduce((sum, other) => sum + place[other]!, 0) / others.length : place[own]!;
  for (let sweep = 0; sweep < 4; sweep++) {
    const down = sweep % 2 === 0;
    for (const line of down ? rows : [...rows].reverse()) {
      const at = new Map(line.map((i) => [i, mean(down ? before[i]! : next[i]!, i)]));
      line.sort((a, b) => at.get(a)! - at.get(b)! || a - b);
      settle(line);
    }
  }

  const tall = rows.map((line) => Math.max(...line.map((i) => sizes[i]!.height)) + GAP_Y);
  const wide = rows.map((line) => line.reduce((sum, i) => sum + sizes[i]!.width + GAP_X, -GAP_X));
  const whole = tall.reduce((sum, height) => sum + height, 0);
  const typical = wide.reduce((sum, width) => sum + width, 0) / Math.max(1, rows.length);
  const columns =
    broken > 0
      ? broken
      : rows.length > LONG
        ? Math.max(1, Math.round(Math.sqrt((1.5 * whole) / (typical + COLUMN))))
        : 1;
  const most = whole / columns;

  const x = new Array<number>(count).fill(0);
  const y = new Array<number>(count).fill(0);
  let [left, top, low, from] = [0, 0, 0, 0];
  const close = (to: number) => {
    const width = Math.max(...wide.slice(from, to));
    for (let r = from; r < to; r++) {
      let at = left + (width - wide[r]!) / 2;
      for (const i of rows[r]!) {
        x[i] = at;
        at += sizes[i]!.width + GAP_X;
      }
    }
    left += width + COLUMN;
    from = to;
  };
  for (let r = 0; r < rows.length; r++) {
    // A number of columns that was asked for is made of equally many rows, so that opening a box moves none to another.
    const full = broken > 0 ? r - from >= Math.ceil(rows.length / broken) : top + tall[r]! / 2 > most;
    if (r > from && full) {
      close(r);
      top = 0;
    }
    for (const i of rows[r]!) y[i] = top;
    top += tall[r]!;
    low = Math.max(low, top);
  }
  if (rows.length) close(rows.length);

  const points = edges.map(([a, b]): [number, number][] => {
    const start: [number, number] = [x[a]! + sizes[a]!.width / 2, y[a]! + sizes[a]!.height];
    const end: [number, number] = [x[b]! + sizes[b]!.width / 2, y[b]!];
    if (end[1] >= start[1]) return [start, [(start[0] + end[0]) / 2, (start[1] + end[1]) / 2], end];
    // to the top of the next column
    const between = Math.max(start[0], end[0]) - sizes[b]!.width / 2 - COLUMN / 2;
    const [down, up] = [start[1] + GAP_Y / 2, end[1] - GAP_Y / 2];
    return rounded([start, [start[0], down], [between, down], [between, up], [end[0], up], end], 9);
  });
  return { x, y, width: Math.max(0, left - COLUMN), height: Math.max(0, low - GAP_Y), points };
}

/** A way of straight lines with round corners: each corner becomes three points close to it. */
export function rounded(points: [number, number][], radius: number): [number, number][] {
  const out: [number, number][] = [points[0]!];
  for (let i = 1; i < points.length - 1; i++) {
    const [before, here, after] = [points[i - 1]!, points[i]!, points[i + 1]!];
    const toward = ([x, y]: [number, number]): [number, number] => {
      const far = Math.hypot(x - here[0], y - here[1]);
      const t = far ? Math.min(0.5, radius / far) : 0;
      return [here[0] + (x - here[0]) * t, here[1] + (y - here[1]) * t];
    };
    out.push(toward(before), here, toward(after));
  }
  out.push(points.at(-1)!);
  return out;
}
