/** The whole graph in a corner, with a frame around what is in sight. */
import { type PointerEvent, useEffect, useRef } from "react";
import type { Picture } from "../../shared/layout";
import type { StageApi } from "./camera";
import { type Colours, fillOf, type Look } from "./paint";

const WIDTH = 148;
const HEIGHT = 104;

export function Minimap({
  picture,
  stage,
  colours,
  look,
}: {
  picture: Picture;
  stage: StageApi;
  colours: Colours;
  look: ReadonlyMap<string, Look>;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const scale = Math.min((WIDTH - 8) / picture.width, (HEIGHT - 8) / picture.height);
  const left = (WIDTH - picture.width * scale) / 2;
  const top = (HEIGHT - picture.height * scale) / 2;

  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!canvas.current || !context) return;
    const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
    canvas.current.width = WIDTH * ratio;
    canvas.current.height = HEIGHT * ratio;
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * left, ratio * top);
    for (const item of picture.items) {
      context.fillStyle = item.kind === "open" ? colours.module : fillOf(item, look.get(item.id), colours);
      context.strokeStyle = item.kind === "open" ? colours.line : colours.strong;
      context.lineWidth = 0.8 / scale;
      context.fillRect(item.x, item.y, item.width, item.height);
      context.strokeRect(item.x, item.y, item.width, item.height);
    }
  }, [picture, colours, look, scale, left, top]);

  const { camera, size } = stage;
  const frame = {
    x: left + (-camera.x / camera.scale) * scale,
    y: top + (-camera.y / camera.scale) * scale,
    width: (size.width / camera.scale) * scale,
    height: (size.height / camera.scale) * scale,
  };
  const go = (event: PointerEvent<HTMLDivElement>) => {
    if (!(event.buttons & 1)) return;
    const box = event.currentTarget.getBoundingClientRect();
    const x = (event.clientX - box.left - left) / scale;
    const y = (event.clientY - box.top - top) / scale;
    stage.setCamera({ ...camera, x: size.width / 2 - x * camera.scale, y: size.height / 2 - y * camera.scale });
  };
  return (
    <div
      className="minimap"
      role="img"
      aria-label="Overview of the whole graph, with a frame around what is in sight"
      onPointerDown={(event) => {
        event.stopPropagation();
        event.currentTarget.setPointerCapture(event.pointerId);
        go(event);
      }}
      onPointerMove={go}
    >
      <canvas ref={canvas} style={{ width: WIDTH, height: HEIGHT }} />
      <svg width={WIDTH} height={HEIGHT} aria-hidden="true">
        <rect x={frame.x} y={frame.y} width={frame.width} height={frame.height} rx={2} />
      </svg>
    </div>
  );
}
