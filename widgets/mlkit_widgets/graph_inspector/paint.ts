/**
 * The drawing on a canvas: arrows and frames always, boxes where they are too small to read. What can be read or has the
 * focus is drawn above it as elements, which have names and take the keyboard.
 */
import type { Picture, Placed, Wire } from "../../shared/layout";
import type { Camera } from "./camera";

/** Everything that changes how one item looks. */
export interface Look {
  state?: "todo" | "now" | "done";
  /** 0 to 1: its share of time, memory or parameters. */
  heat?: number;
  /** How much it changes under what is tried, 0 to 1 for the eye. */
  changed?: number;
  failed?: boolean;
  trouble?: boolean;
  hit?: boolean;
}

export interface Colours {
  raised: string;
  bg: string;
  module: string;
  op: string;
  io: string;
  hit: string;
  strong: string;
  line: string;
  accent: string;
  good: string;
  bad: string;
  heat: string;
  change: string;
}

export function coloursOf(element: Element): Colours {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim() || "#888888";
  return {
    raised: read("--raised"),
    bg: read("--bg"),
    module: read("--module"),
    op: read("--op"),
    io: read("--io"),
    hit: read("--hit"),
    strong: read("--strong-line"),
    line: read("--line"),
    accent: read("--accent"),
    good: read("--good"),
    bad: read("--bad"),
    heat: read("--heat"),
    change: read("--change"),
  };
}

const channels = (hex: string): [number, number, number] => [
  Number.parseInt(hex.slice(1, 3), 16),
  Number.parseInt(hex.slice(3, 5), 16),
  Number.parseInt(hex.slice(5, 7), 16),
];

/** A colour between two, both written as #rrggbb. */
export function blend(from: string, to: string, t: number): string {
  if (!/^#[0-9a-f]{6}$/i.test(from) || !/^#[0-9a-f]{6}$/i.test(to)) return t > 0.5 ? to : from;
  const [a, b] = [channels(from), channels(to)];
  return `rgb(${a.map((channel, i) => Math.round(channel + (b[i]! - channel) * t)).join(" ")})`;
}

export function fillOf(item: Placed, look: Look | undefined, colours: Colours): string {
  const plain = item.kind === "op" ? colours.op : item.kind === "port" ? colours.io : colours.module;
  if (look?.failed || look?.trouble) return blend(plain, colours.bad, 0.28);
  if (look?.changed !== undefined) return blend(plain, colours.change, 0.12 + 0.5 * look.changed);
  if (look?.hit) return colours.hit;
  if (look?.heat !== undefined) return blend(plain, colours.heat, 0.62 * look.heat);
  return plain;
}

export interface Visible {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export const visible = (camera: Camera, size: { width: number; height: number }, margin = 0): Visible => ({
  left: (-camera.x - margin) / camera.scale,
  top: (-camera.y - margin) / camera.scale,
  right: (size.width - camera.x + margin) / camera.scale,
  bottom: (size.height - camera.y + margin) / camera.scale,
});

export const touches = (item: { x: number; y: number; width: number; height: number }, area: Visible): boolean =>
  item.x <= area.right && item.x + item.width >= area.left && item.y <= area.bottom && item.y + item.height >= area.top;

/** Boxes of wires, made once for each layout: most wires are out of sight most of the time. */
const bounds = new WeakMap<Wire, Visible>();
function boundsOf(wire: Wire): Visible {
  let box = bounds.get(wire);
  if (!box) {
    const xs = wire.points.map(([x]) => x);
    const ys = wire.points.map(([, y]) => y);
    box = { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
    bounds.set(wire, box);
  }
  return box;
}

export const wireTouches = (wire: Wire, area: Visible): boolean => {
  const box = boundsOf(wire);
  return box.left <= area.right && box.right >= area.left && box.top <= area.bottom && box.bottom >= area.top;
};

function follow(context: CanvasRenderingContext2D, points: [number, number][], coarse: boolean): void {
  const [x0, y0] = points[0]!;
  context.moveTo(x0, y0);
  const last = points.length - 1;
  if (coarse) {
    if (last > 6) for (const [x, y] of points) context.lineTo(x, y);
    else context.lineTo(points[last]![0], points[last]![1]);
    return;
  }
  for (let i = 1; i < last; i++) {
    const [x, y] = points[i]!;
    const [nx, ny] = points[i + 1]!;
    context.quadraticCurveTo(x, y, (x + nx) / 2, (y + ny) / 2);
  }
  context.lineTo(points[last]![0], points[last]![1]);
}

export interface Scene {
  picture: Picture;
  camera: Camera;
  size: { width: number; height: number };
  colours: Colours;
  look: ReadonlyMap<string, Look>;
  selected: string;
  chosen: ReadonlySet<string>;
  /** Arrows point back: what flows are gradients. */
  backward: boolean;
  /** Drawn as elements above. */
  elements: ReadonlySet<string>;
}

export function paint(canvas: HTMLCanvasElement, scene: Scene): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  const { picture, camera, size, colours, look, chosen } = scene;
  const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
  const [width, height] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  context.setTransform(ratio * camera.scale, 0, 0, ratio * camera.scale, ratio * camera.x, ratio * camera.y);
  const area = visible(camera, size, 20);
  const coarse = camera.scale < 0.2;

  for (const item of picture.items) {
    if (item.kind !== "open" || !touches(item, area)) continue;
    context.fillStyle = item.depth % 2 ? colours.bg : colours.module;
    context.strokeStyle = item.id === scene.selected ? colours.accent : coarse ? colours.strong : colours.line;
    context.lineWidth = (item.id === scene.selected ? 2.2 : 1) / Math.max(0.25, camera.scale);
    context.beginPath();
    if (coarse) context.rect(item.x, item.y, item.width, item.height);
    else context.roundRect(item.x, item.y, item.width, item.height, 8);
    context.fill();
    context.stroke();
  }

  const special: Wire[] = [];
  const tips: Wire[] = [];
  context.beginPath();
  for (const wire of picture.wires) {
    if (!wireTouches(wire, area)) continue;
    if (wire.values.some((value) => chosen.has(value))) special.push(wire);
    else follow(context, wire.points, coarse);
    tips.push(wire);
  }
  context.strokeStyle = colours.strong;
  context.lineWidth = Math.max(1.4, 0.7 / camera.scale);
  context.stroke();
  if (special.length) {
    context.beginPath();
    for (const wire of special) follow(context, wire.points, coarse);
    context.strokeStyle = colours.accent;
    context.lineWidth = Math.max(2.4, 1.2 / camera.scale);
    context.stroke();
  }
  if (!coarse) {
    context.fillStyle = colours.strong;
    context.beginPath();
    for (const wire of tips) tip(context, wire.points, scene.backward);
    context.fill();
  }

  for (const item of picture.items) {
    if (item.kind === "open" || scene.elements.has(item.id) || !touches(item, area)) continue;
    const own = look.get(item.id);
    context.globalAlpha = own?.state === "todo" ? 0.35 : 1;
    context.fillStyle = fillOf(item, own, colours);
    const marked = item.id === scene.selected || own?.state === "now";
    context.strokeStyle = own?.failed || own?.trouble ? colours.bad : marked ? colours.accent : colours.strong;
    context.lineWidth = (marked ? 2.4 : 1) / Math.max(0.4, camera.scale);
    if (coarse) {
      context.fillRect(item.x, item.y, item.width, item.height);
      context.strokeRect(item.x, item.y, item.width, item.height);
    } else {
      context.beginPath();
      context.roundRect(item.x, item.y, item.width, item.height, item.kind === "module" ? 8 : item.height / 2);
      context.fill();
      context.stroke();
    }
  }
  context.globalAlpha = 1;
}

function tip(context: CanvasRenderingContext2D, points: [number, number][], backward: boolean): void {
  const [end, from] = backward ? [points[0]!, points[1]!] : [points.at(-1)!, points.at(-2)!];
  const angle = Math.atan2(end[1] - from[1], end[0] - from[0]);
  const at = (length: number, side: number): [number, number] => [
    end[0] - length * Math.cos(angle) - side * Math.sin(angle),
    end[1] - length * Math.sin(angle) + side * Math.cos(angle),
  ];
  context.moveTo(...end);
  context.lineTo(...at(8, 4));
  context.lineTo(...at(8, -4));
}
