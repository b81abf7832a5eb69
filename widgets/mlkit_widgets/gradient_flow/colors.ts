/** Colours by depth, and of how many values lie where. */
import type { Theme } from "../../shared/theme";

/** A layer's colour by its depth, 0 to 1: from blue, the first, to orange, the last. As `tint` in picture.py. */
export function tint(share: number, theme: Theme): string {
  return `hsl(${Math.round(215 - 190 * share)} 60% ${theme === "dark" ? 64 : 42}%)`;
}

const LIGHT = ["#ffffff", "#dcecf5", "#a9d3e3", "#5fb0c4", "#23869a", "#215f8f", "#1d3a78", "#0b1840"];
const DARK = ["#15191f", "#12304c", "#1b4f74", "#217996", "#3caa91", "#7fc97c", "#d0e36b", "#fdf7a8"];

/** 256 colours, RGB one after another: from the card's ground, where no values are, to the strongest. */
export function ramp(theme: Theme): Uint8ClampedArray {
  const anchors = (theme === "dark" ? DARK : LIGHT).map((hex) =>
    [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)),
  );
  const table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (anchors.length - 1);
    const low = Math.min(anchors.length - 2, Math.floor(at));
    for (let c = 0; c < 3; c++) {
      table[3 * i + c] = anchors[low]![c]! + (anchors[low + 1]![c]! - anchors[low]![c]!) * (at - low);
    }
  }
  return table;
}
