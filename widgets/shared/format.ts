/** Numbers as people read them. */

/** A number as short as it can be read: 0.25, 12,346, 3e-4. The same rule as `number` in `_svg.py`. */
export function number(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined) return "";
  if (Number.isNaN(value)) return "NaN";
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (size >= 1e6 || size < 1e-3) {
    const [mantissa = "", exponent = "0"] = value.toExponential(2).split("e");
    return `${Number(mantissa)}e${Number(exponent)}`;
  }
  if (size >= 1000) return Math.round(value).toLocaleString("en-GB");
  return String(Number(value.toPrecision(digits)));
}

export const count = (value: number): string => Math.round(value).toLocaleString("en-GB");

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let size = value;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : Number(size.toPrecision(2))} ${units[unit]}`;
}

/** Seconds as 12 s, 3:05 or 1:02:03. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const two = (part: number) => String(part).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** Singular or plural: plural(1, "step") is "1 step". */
export const plural = (many: number, one: string, more = `${one}s`): string =>
  `${count(many)} ${many === 1 ? one : more}`;
