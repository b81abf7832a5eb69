/** The digit pad in the browser: a place to draw, the answer as bars, and what every layer gave. */
import { type KeyboardEvent, type PointerEvent, useEffect, useId, useRef, useState, useSyncExternalStore } from "react";
import { number } from "../../shared/format";
import { define } from "../../shared/mount";
import { useTheme } from "../../shared/theme";
import { INK, pixels } from "./drawing";
import { Drawing, type Layer } from "./state";
import css from "./view.css";

const STRIDE = 2;

export function DigitPad({ drawing }: { drawing: Drawing }) {
  useSyncExternalStore(drawing.subscribe, drawing.snapshot);
  const theme = useTheme();
  const dark = theme === "dark";
  const { state } = drawing;
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 4000);
    return () => clearTimeout(timer);
  }, []);
  const odds = state ? [...(state.odds.data as Float32Array)] : [];
  const best = odds.length ? odds.indexOf(Math.max(...odds)) : -1;
  const names = state?.classes ?? Array.from({ length: 10 }, (_, digit) => String(digit));
  const inked = drawing.ink.some((value) => value > 24);
  const answer = best >= 0 ? `${names[best]}, ${percent(odds[best]!)}` : "";

  return (
    <div
      className="mlkit mlkit-digits"
      data-theme={theme}
      data-stage={state?.stage ?? "waiting"}
      data-best={best >= 0 ? names[best] : ""}
      role="region"
      aria-label="Digit pad"
    >
      <div className="status">
        {state === null ? (
          <span className="quiet">
            {late
              ? "The kernel has not answered yet: it is busy with another cell, or it has been shut down. Run the cell again."
              : "Asking the kernel for the network."}
          </span>
        ) : state.stage === "training" ? (
          <>
            <progress max={1} value={state.share} aria-label="Training of the network" />
            <span>
              Training a small network on 1,500 digits: {Math.floor(100 * state.share)} %
              {state.loss === null ? "" : <span className="quiet"> · loss {number(state.loss, 2)}</span>}
            </span>
          </>
        ) : state.stage === "failed" ? null : state.accuracy !== null ? (
          <span className="quiet">
            A network trained on 1,500 digits. It tells {percent(state.accuracy, 1)} of 297 others right.
          </span>
        ) : null}
      </div>
      {state?.words ? (
        <p className="note bad" role="alert">
          {state.words}
        </p>
      ) : null}
      {drawing.problem ? (
        <p className="note" role="alert">
          {drawing.problem}
        </p>
      ) : null}
      <div className="main">
        <section className="left" aria-label="Drawing">
          <Pad drawing={drawing} dark={dark} empty={!inked} />
          <div className="under">
            <span className="quiet" aria-hidden="true">
              Examples from the test images
            </span>
            <button type="button" onClick={() => drawing.clear()}>
              Clear
            </button>
          </div>
          <div className="examples" role="group" aria-label="Examples">
            {Array.from({ length: 10 }, (_, digit) => (
              <button
                // biome-ignore lint/suspicious/noArrayIndexKey: these are the digits themselves
                key={digit}
                type="button"
                aria-label={`Example of a ${digit}`}
                onClick={() => drawing.example(digit)}
              >
                {digit}
              </button>
            ))}
          </div>
        </section>
        <section className="answer" aria-label="Answer">
          <div className="best">
            <b>{best >= 0 ? names[best] : "–"}</b>
            <span className="quiet">{best >= 0 ? `${percent(odds[best]!)} sure` : "draw a digit"}</span>
            {state ? (
              <figure>
                <Grey
                  values={state.image.data as Uint8Array}
                  rows={state.image.shape[0]!}
                  columns={state.image.shape[1]!}
                  dark={dark}
                />
                <figcaption className="quiet">
                  as the network gets it
                  <br />
                  {state.image.shape.join("×")}
                </figcaption>
              </figure>
            ) : null}
          </div>
          <ol className="bars">
            {names.map((name, k) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: two classes may have one name
              <li key={k} data-best={k === best}>
                <span className="name" title={name}>
                  {name}
                </span>
                <span className="bar" aria-hidden="true">
                  <i style={{ width: `${100 * (odds[k] ?? 0)}%` }} />
                </span>
                <span className="share">{k < odds.length ? percent(odds[k]!, odds[k]! < 0.0995 ? 1 : 0) : ""}</span>
              </li>
            ))}
          </ol>
          <p className="visually-hidden" role="status">
            {drawing.drawing ? "" : answer}
          </p>
        </section>
        <section className="layers" aria-label="Layers">
          <div className="title">What each layer gives</div>
          {state?.layers.length ? (
            // biome-ignore lint/suspicious/noArrayIndexKey: layers stand in their order
            state.layers.map((layer, k) => <LayerRow key={k} layer={layer} dark={dark} />)
          ) : (
            <p className="quiet">
              {state?.stage === "training"
                ? "The network is still learning."
                : "This network has no layers to look into."}
            </p>
          )}
        </section>
      </div>
    </div>
  );
}

const percent = (share: number, digits = 0): string => `${(100 * share).toFixed(digits)} %`;

function Pad({ drawing, dark, empty }: { drawing: Drawing; dark: boolean; empty: boolean }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const last = useRef<[number, number] | null>(null);
  const [pen, setPen] = useState<{ x: number; y: number; down: boolean } | null>(null);
  const help = useId();
  const { ink } = drawing;

  useEffect(() => {
    canvas.current?.getContext("2d")?.putImageData(new ImageData(pixels(ink, dark), INK, INK), 0, 0);
  }, [ink, dark]);

  const place = (event: { clientX: number; clientY: number }): [number, number] => {
    const box = canvas.current!.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * INK - 0.5, ((event.clientY - box.top) / box.height) * INK - 0.5];
  };
  const down = (event: PointerEvent) => {
    if (event.button !== 0) return;
    canvas.current!.parentElement!.setPointerCapture(event.pointerId);
    const at = place(event);
    last.current = at;
    drawing.drawing = true;
    setPen(null);
    drawing.line(...at, ...at);
  };
  const move = (event: PointerEvent) => {
    if (!last.current) return;
    const all = event.nativeEvent.getCoalescedEvents?.() ?? [];
    for (const one of all.length ? all : [event]) {
      const at = place(one);
      drawing.line(...last.current, ...at);
      last.current = at;
    }
  };
  const up = () => {
    last.current = null;
    drawing.drawing = false;
  };
  const onKey = (event: KeyboardEvent) => {
    const now = pen ?? { x: INK / 2, y: INK / 4, down: false };
    const step: Record<string, [number, number]> = {
      ArrowLeft: [-STRIDE, 0],
      ArrowRight: [STRIDE, 0],
      ArrowUp: [0, -STRIDE],
      ArrowDown: [0, STRIDE],
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = step[event.key];
    if (by) {
      const x = Math.max(2, Math.min(INK - 3, now.x + by[0]));
      const y = Math.max(2, Math.min(INK - 3, now.y + by[1]));
      if (now.down) drawing.line(now.x, now.y, x, y);
      setPen({ ...now, x, y });
    } else if (event.key === " ") {
      if (!now.down) drawing.line(now.x, now.y, now.x, now.y);
      setPen({ ...now, down: !now.down });
    } else if (event.key === "Delete" || event.key === "Backspace") {
      setPen({ ...now, down: false });
      drawing.clear();
    } else if (/^\d$/.test(event.key)) drawing.example(Number(event.key));
    else if (event.key === "Escape") setPen(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <>
      <div
        className="pad"
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it is drawn on with keys
        tabIndex={0}
        aria-label="Drawing"
        aria-describedby={help}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerCancel={up}
        onKeyDown={onKey}
        onFocus={(event) =>
          event.currentTarget.matches(":focus-visible") &&
          setPen((old) => old ?? { x: INK / 2, y: INK / 4, down: false })
        }
        onBlur={() => setPen(null)}
      >
        <canvas ref={canvas} width={INK} height={INK} />
        {empty ? <span className="quiet invite">Draw a digit here</span> : null}
        {pen ? (
          <span
            className="pen"
            data-down={pen.down}
            style={{ left: `${((pen.x + 0.5) / INK) * 100}%`, top: `${((pen.y + 0.5) / INK) * 100}%` }}
          />
        ) : null}
      </div>
      <p className="help quiet" id={help}>
        {pen
          ? `Pen ${pen.down ? "down" : "up"}. Arrows move it, Space puts it ${pen.down ? "up" : "down"}, Delete clears, 0–9 bring examples.`
          : "Mouse, finger, or keys: arrows and Space; 0–9 bring examples."}
      </p>
    </>
  );
}

interface GreyProps {
  values: ArrayLike<number>;
  rows: number;
  columns: number;
  dark: boolean;
}

function Grey({ values, rows, columns, dark }: GreyProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (context && values.length === rows * columns) {
      context.putImageData(new ImageData(pixels(values, dark), columns, rows), 0, 0);
    }
  }, [values, rows, columns, dark]);
  return <canvas ref={canvas} width={columns} height={rows} aria-hidden="true" />;
}

function LayerRow({ layer, dark }: { layer: Layer; dark: boolean }) {
  const [channels = 1, rows = 1, columns = 1] = layer.values.shape;
  const values = layer.values.data as Uint8Array;
  const flat = channels === 1 && rows === 1;
  const whole = flat ? columns : (layer.shape[0] ?? channels);
  const shown = flat ? columns : channels;
  const size = rows * columns;
  return (
    <div className="layer" data-layer={layer.title}>
      <div className="head">
        <b>{layer.title}</b>{" "}
        <span className="quiet">
          {layer.path ? `${layer.path} · ` : ""}
          {layer.shape.join("×")}
          {!flat && whole > shown ? `, the first ${shown}` : ""}
        </span>
      </div>
      <div
        className={flat ? "cells" : "maps"}
        role="img"
        aria-label={`${layer.title} ${layer.path}: ${shown} ${flat ? "values" : "pictures"}`}
      >
        {flat ? (
          <Grey values={values} rows={1} columns={columns} dark={dark} />
        ) : (
          Array.from({ length: channels }, (_, k) => (
            <Grey
              // biome-ignore lint/suspicious/noArrayIndexKey: channels are told apart by their place
              key={k}
              values={values.subarray(k * size, (k + 1) * size)}
              rows={rows}
              columns={columns}
              dark={dark}
            />
          ))
        )}
      </div>
    </div>
  );
}

export default define(
  "digit-pad",
  css,
  ({ channel }) => new Drawing(channel),
  (drawing) => <DigitPad drawing={drawing} />,
  (drawing) => drawing.close(),
);
