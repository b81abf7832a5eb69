/** Numbers as people read them. */

export function bytes(n: number | null | undefined): string {
  if (n === null || n === undefined) {
    return '';
  }
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let size = n;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toPrecision(size >= 10 ? 3 : 2)} ${units[unit]}`;
}

export function shape(sizes: readonly number[]): string {
  return sizes.length ? sizes.join('×') : 'scalar';
}

export function count(n: number): string {
  return n.toLocaleString('en-GB');
}

/** A count in a few letters: 1.2 M. */
export function short(n: number): string {
  return new Intl.NumberFormat('en-GB', { notation: 'compact', maximumFractionDigits: 1 }).format(n);
}

/** A loss, an accuracy: four digits that matter. */
export function value(n: number | null | undefined): string {
  if (n === null || n === undefined) {
    return 'not a number';
  }
  return n !== 0 && (Math.abs(n) < 1e-3 || Math.abs(n) >= 1e5) ? n.toExponential(2) : String(Number(n.toPrecision(4)));
}

export function seconds(n: number): string {
  const whole = Math.max(0, Math.round(n));
  if (whole < 60) {
    return `${whole} s`;
  }
  if (whole < 3600) {
    return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  }
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** How far a run is, from 0 to 1; null where nobody knows. */
export function progress(run: { step: number | null; steps: number | null }): number | null {
  return run.step !== null && run.steps ? Math.min(1, run.step / run.steps) : null;
}

/** A Python string literal. JSON's escapes are Python's, but for letters beyond the basic plane, which need none. */
export function literal(text: string): string {
  return JSON.stringify(text);
}

/** Where in a cell's text the line that made a tensor stands: its index, or -1 when the cell has been changed. */
export function lineIn(source: string, line: number, code: string): number {
  const lines = source.split('\n');
  if (lines[line - 1]?.trim() === code) {
    return line - 1;
  }
  return code ? lines.findIndex(text => text.trim() === code) : -1;
}
