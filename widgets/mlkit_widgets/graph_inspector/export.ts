/** The drawing as a file: an SVG of everything that is open (not only of what is in sight), and a PNG of that. */
import type { Graph } from "../../shared/graph";
import { curve, type Picture } from "../../shared/layout";
import { type Colours, fillOf, type Look } from "./paint";

const escaped = (words: string) =>
  words.replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]!);
// What HTML and XML forbid, however it is written.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must go
const clean = (words: string) => escaped(words.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "\ufffd"));
const FONT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

export function svgOf(
  graph: Graph,
  picture: Picture,
  look: ReadonlyMap<string, Look>,
  colours: Colours & { text: string; quiet: string },
  backward: boolean,
): string {
  const margin = 20;
  const [width, height] = [Math.ceil(picture.width + 2 * margin), Math.ceil(picture.height + 2 * margin)];
  const parts: string[] = [];
  for (const item of picture.items) {
    if (item.kind !== "open") continue;
    const fill = item.depth % 2 ? colours.bg : colours.module;
    parts.push(
      `<rect x="${item.x}" y="${item.y}" width="${item.width}" height="${item.height}" rx="8" fill="${fill}" stroke="${colours.line}"/>`,
    );
    parts.push(words(item.x + 12, item.y + 18, item.title, 12.5, colours.text, "start", true));
    parts.push(words(item.x + 20 + item.title.length * 7.4, item.y + 18, item.subtitle, 11, colours.quiet, "start"));
  }
  const arrow = backward ? 'marker-start="url(#tip)"' : 'marker-end="url(#tip)"';
  for (const wire of picture.wires) {
    parts.push(`<path d="${curve(wire.points)}" fill="none" stroke="${colours.strong}" stroke-width="1.4" ${arrow}/>`);
  }
  for (const wire of picture.wires) {
    if (wire.labelAt)
      parts.push(
        words(wire.labelAt[0], wire.labelAt[1] + 4, wire.label, 11, colours.quiet, "middle", false, colours.raised),
      );
  }
  for (const item of picture.items) {
    if (item.kind === "open") continue;
    const own = look.get(item.id);
    const round = item.kind === "module" ? 8 : item.height / 2;
    const stroke = own?.failed || own?.trouble ? colours.bad : item.kind === "port" ? colours.good : colours.strong;
    const box = (by: number) =>
      `<rect x="${item.x + by}" y="${item.y + by}" width="${item.width}" height="${item.height}" rx="${round}" fill="${fillOf(item, own, colours)}" stroke="${stroke}"/>`;
    if (item.times) parts.push(box(6), box(3));
    parts.push(box(0));
    if (item.width <= 10) continue;
    const middle = item.x + item.width / 2;
    if (item.kind === "module") {
      parts.push(words(item.x + 12, item.y + 18, item.title, 12.5, colours.text, "start", true));
      parts.push(words(item.x + 12, item.y + 35, item.subtitle, 11, colours.quiet, "start"));
    } else if (item.note) {
      parts.push(words(item.x + 13, item.y + item.height / 2 + 4.5, item.title, 12.5, colours.text, "start", true));
    } else
      parts.push(
        words(middle, item.y + item.height / 2 + 4.5, item.title, 12.5, colours.text, "middle", item.kind === "op"),
      );
    if (item.note) parts.push(words(item.x + item.width - 11, item.y + 18, item.note, 11, colours.quiet, "end"));
  }
  const title = clean(`Graph of ${graph.document.name}`);
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="${-margin} ${-margin} ${width} ${height}" font-family="${FONT}">` +
    `<title>${title}</title><defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">` +
    `<path d="M0 0l8 4l-8 4z" fill="${colours.strong}"/></marker></defs>` +
    `<rect x="${-margin}" y="${-margin}" width="${width}" height="${height}" fill="${colours.raised}"/>${parts.join("")}</svg>`
  );
}

function words(
  x: number,
  y: number,
  text: string,
  size: number,
  fill: string,
  anchor: string,
  bold = false,
  halo?: string,
): string {
  if (!text) return "";
  const around = halo ? ` paint-order="stroke" stroke="${halo}" stroke-width="4"` : "";
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" font-size="${size}" fill="${fill}" text-anchor="${anchor}"${bold ? ' font-weight="600"' : ""}${around}>${clean(text)}</text>`;
}

/** Pixels of the SVG, twice as many as its size where that is not too large for a browser. */
export async function pngOf(svg: string): Promise<Blob> {
  const image = new Image();
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  try {
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = () => reject(new Error("the browser could not draw the SVG"));
      image.src = address;
    });
    const scale = Math.min(
      2,
      12000 / Math.max(image.width, image.height),
      Math.sqrt(6e7 / (image.width * image.height)),
    );
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.floor(image.width * scale));
    canvas.height = Math.max(1, Math.floor(image.height * scale));
    canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) =>
      canvas.toBlob(
        (blob) => (blob ? resolve(blob) : reject(new Error("the picture is too large for this browser"))),
        "image/png",
      ),
    );
  } finally {
    URL.revokeObjectURL(address);
  }
}

export function download(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name.replace(/[^\w.-]+/g, "_");
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
