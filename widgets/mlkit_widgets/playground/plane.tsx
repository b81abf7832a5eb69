/** The plane with the network's answer, the points on it, and the curves below. */
import { useEffect, useRef, useState } from "react";
import { number } from "../../shared/format";
import type { Theme } from "../../shared/theme";
import { GRID, pictureOf, type Unit } from "./network";
import { CLASSES, colour, css, mark, mixedPixels, pixelsOf, refine } from "./paint";
import type { PointSet, State } from "./state";

const FINE = 160;

interface Props {
  state: State;
  points: PointSet;
  theme: Theme;
  extent: number;
  chosen: Unit | null;
  name: string;
  showTest: boolean;
  discrete: boolean;
}

export function Plane({ state, points, theme, extent, chosen, name, showTest, discrete }: Props) {
  const ground = useRef<HTMLCanvasElement>(null);
  const dots = useRef<HTMLCanvasElement>(null);
  const [side, setSide] = useState(280);

  useEffect(() => {
    const element = ground.current!.parentElement!;
    const resize = new ResizeObserver(() => setSide(Math.max(120, Math.round(element.clientWidth))));
    resize.observe(element);
    return () => resize.disconnect();
  }, []);

  useEffect(() => {
    const context = ground.current?.getContext("2d");
    if (!context) return;
    let pixels: Uint8ClampedArray;
    const outputs = state.surface.shape[0]!;
    if (chosen && pictureOf(state.sizes, chosen) < state.pictures.shape[0]!) {
      const offset = pictureOf(state.sizes, chosen) * GRID * GRID;
      pixels = pixelsOf(refine(state.pictures.data as Int8Array, GRID, FINE, offset), theme, false, 0.6);
    } else if (outputs === 1) {
      const cut = discrete && points.kind === "classification";
      pixels = pixelsOf(refine(state.surface.data as Int8Array, GRID, FINE), theme, cut, 0.6);
    } else {
      const shares = Array.from({ length: outputs }, (_, k) =>
        refine(state.surface.data as Int8Array, GRID, FINE, k * GRID * GRID),
      );
      pixels = mixedPixels(shares, theme, discrete);
    }
    context.putImageData(new ImageData(pixels as Uint8ClampedArray<ArrayBuffer>, FINE, FINE), 0, 0);
  }, [state, points, theme, chosen, discrete]);

  useEffect(() => {
    const canvas = dots.current;
    const context = canvas?.getContext("2d");
    if (!canvas || !context) return;
    const ratio = devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(side * ratio);
    context.scale(ratio, ratio);
    const xy = points.xy.data as Float32Array;
    const many = points.target.data.length;
    const r = many > 600 ? 2.4 : 3.4;
    for (const training of [0, 1]) {
      if (!training && !showTest) continue;
      for (let i = 0; i < many; i++) {
        if (points.train.data[i] !== training) continue;
        const x = ((xy[2 * i]! + extent) / (2 * extent)) * side;
        const y = ((extent - xy[2 * i + 1]!) / (2 * extent)) * side;
        const target = points.target.data[i] as number;
        const classes = points.kind === "classification";
        const fill = classes ? CLASSES[target]! : colour(target, theme);
        context.beginPath();
        mark(context, classes ? target : 0, x, y, r);
        context.lineWidth = training ? 1 : 1.6;
        context.fillStyle = training ? css(fill) : theme === "dark" ? "#15191f" : "#ffffff";
        context.strokeStyle = training ? (theme === "dark" ? "#e8ecf1" : "#ffffff") : css(fill);
        if (!classes && training) context.strokeStyle = theme === "dark" ? "#a3aebb" : "#56616f";
        context.fill();
        context.stroke();
      }
    }
  }, [points, theme, side, showTest, extent]);

  const tick = (axis: 0 | 1, at: number) => number(points.middle[axis] + at * points.half[axis], 3);
  return (
    <div className="plane">
      <span className="yname quiet">{points.names[1]}</span>
      <div className="yticks quiet" aria-hidden="true">
        <span>{tick(1, extent)}</span>
        <span>{tick(1, 0)}</span>
        <span>{tick(1, -extent)}</span>
      </div>
      <div
        className="square"
        role="img"
        aria-label={`The plane of ${points.names[0]} and ${points.names[1]}: ${chosen ? name : "the network's answer"}, with ${points.target.data.length} points`}
      >
        <canvas ref={ground} width={FINE} height={FINE} />
        <canvas ref={dots} className="dots" />
        {chosen ? <span className="which">{name}</span> : null}
      </div>
      <div className="xticks quiet" aria-hidden="true">
        <span>{tick(0, -extent)}</span>
        <span>{points.names[0]}</span>
        <span>{tick(0, extent)}</span>
      </div>
      <Legend points={points} theme={theme} showTest={showTest} />
    </div>
  );
}

function Legend({ points, theme, showTest }: { points: PointSet; theme: Theme; showTest: boolean }) {
  if (points.kind === "regression") {
    const [middle, half] = points.value;
    const ramp = [-1, -0.5, 0, 0.5, 1].map((value) => css(colour(value, theme))).join(", ");
    return (
      <div className="legend">
        <span>{number(middle - half, 3)}</span>
        <i className="ramp" style={{ background: `linear-gradient(90deg, ${ramp})` }} />
        <span>{number(middle + half, 3)}</span>
      </div>
    );
  }
  return (
    <ul className="legend">
      {points.classes.map((name, k) => (
        <li key={name}>
          <Mark kind={k} />
          <span title={name}>{name}</span>
        </li>
      ))}
      {showTest ? <li className="quiet">filled: training, hollow: test</li> : null}
    </ul>
  );
}

/** A class's mark, as the points on the plane have it. */
export function Mark({ kind, size = 12 }: { kind: number; size?: number }) {
  const parts: string[] = [];
  const path = {
    moveTo: (x: number, y: number) => parts.push(`M${x.toFixed(2)} ${y.toFixed(2)}`),
    lineTo: (x: number, y: number) => parts.push(`L${x.toFixed(2)} ${y.toFixed(2)}`),
    arc: (x: number, y: number, r: number) =>
      parts.push(`A${r} ${r} 0 1 1 ${x - r} ${y}A${r} ${r} 0 1 1 ${x + r} ${y}`),
  };
  mark(path as unknown as Path2D, kind, 6, 6, 4.2);
  return (
    <svg width={size} height={size} viewBox="0 0 12 12" aria-hidden="true">
      <path d={`${parts.join("")}Z`} fill={css(CLASSES[kind]!)} />
    </svg>
  );
}

const WIDTH = 300;
const HEIGHT = 84;

/** The curves of the loss; the text above them says the same in numbers. */
export function Curve({ state }: { state: State }) {
  const { data, shape } = state.history;
  const many = shape[0] ?? 0;
  const read = (row: number, column: number) => data[3 * row + column] as number;
  let high = 1e-9;
  for (let i = 0; i < many; i++) {
    for (const column of [1, 2]) if (Number.isFinite(read(i, column))) high = Math.max(high, read(i, column));
  }
  const end = Math.max(1, many ? read(many - 1, 0) : 1);
  const line = (column: number) => {
    const parts: string[] = [];
    for (let i = 0; i < many; i++) {
      const value = read(i, column);
      if (Number.isFinite(value)) {
        parts.push(
          `${((WIDTH * read(i, 0)) / end).toFixed(1)},${(HEIGHT - 3 - ((HEIGHT - 8) * value) / high).toFixed(1)}`,
        );
      }
    }
    return parts.join(" ");
  };
  const percent = (value: number | null) => (value === null ? "" : `${(100 * value).toFixed(1)} %`);
  return (
    <div className="curve">
      <table>
        <thead>
          <tr>
            <th scope="col">
              <span className="visually-hidden">Points</span>
            </th>
            <th scope="col">loss</th>
            {state.accuracy.test === null ? null : <th scope="col">accuracy</th>}
          </tr>
        </thead>
        <tbody>
          {(["train", "test"] as const).map((part) => (
            <tr key={part} data-part={part}>
              <th scope="row">
                <i aria-hidden="true" />
                {part === "train" ? "training" : "test"}
              </th>
              <td data-loss={part}>{state.loss[part] === null ? "NaN" : number(state.loss[part], 3)}</td>
              {state.accuracy.test === null ? null : <td data-accuracy={part}>{percent(state.accuracy[part])}</td>}
            </tr>
          ))}
        </tbody>
      </table>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Loss over ${end} steps, from 0 to ${number(high, 3)}`}
      >
        <line x1="0" x2={WIDTH} y1={HEIGHT - 3} y2={HEIGHT - 3} />
        <polyline data-part="test" points={line(2)} />
        <polyline data-part="train" points={line(1)} />
      </svg>
    </div>
  );
}
