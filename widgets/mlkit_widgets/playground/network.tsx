/** The network as it is drawn: every neuron with its picture, every weight as a line. */
import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from "react";
import { number, plural } from "../../shared/format";
import type { Theme } from "../../shared/theme";
import { pixelsOf } from "./paint";
import type { State } from "./state";

export const GRID = 50;
const BOX = 42;
const HEAD = 54;
const LABEL = 44;

export interface Unit {
  column: number;
  row: number;
}

interface Props {
  state: State;
  theme: Theme;
  titles: Record<string, string>;
  most: [layers: number, neurons: number];
  layers: number[];
  features: string[];
  chosen: Unit | null;
  choose(unit: Unit | null): void;
  setLayers(layers: number[]): void;
  setFeatures(features: string[]): void;
}

interface Place {
  x: number;
  y: number;
}

interface Wire {
  key: string;
  path: string;
  layer: number;
  row: number;
  source: number;
  middle: Place;
}

/** Index of a neuron's picture: pictures lie one column after the other. */
export const pictureOf = (sizes: number[], { column, row }: Unit): number =>
  sizes.slice(0, column).reduce((sum, size) => sum + size, 0) + row;

/** What a column's neurons are called. */
export function nameOf(state: State, titles: Record<string, string>, { column, row }: Unit): string {
  if (column === 0) return `input ${titles[state.features[row]!] ?? state.features[row]}`;
  if (column === state.sizes.length - 1) return state.sizes[column]! > 1 ? `output ${row + 1}` : "output";
  return `layer ${column}, neuron ${row + 1}`;
}

/** A neuron's own numbers in words, the heaviest weights first. */
export function describe(state: State, titles: Record<string, string>, unit: Unit): string {
  const scale = `goes up to ±${number(state.scales.data[pictureOf(state.sizes, unit)] as number, 3)}`;
  if (unit.column === 0) return scale;
  const weight = state.weights[unit.column - 1]!;
  const width = weight.shape[1]!;
  const parts = Array.from({ length: width }, (_, source) => ({
    value: weight.data[unit.row * width + source] as number,
    name: nameOf(state, titles, { column: unit.column - 1, row: source }).replace(/^(input |layer \d+, )/, ""),
  }));
  const words = parts.map(({ name, value }) => `${name} ${number(value, 3)}`).join(", ");
  return `bias ${number(state.biases[unit.column - 1]!.data[unit.row] as number, 3)}; weights: ${words}; ${scale}`;
}

export function Network(props: Props) {
  const { state, theme, titles, most, layers, features, chosen, choose, setLayers, setFeatures } = props;
  const box = useRef<HTMLDivElement>(null);
  const about = useId();
  const [width, setWidth] = useState(520);
  const [hint, setHint] = useState<Wire | null>(null);
  const names = Object.keys(titles);

  useEffect(() => {
    const element = box.current!;
    const resize = new ResizeObserver(() => setWidth(Math.max(280, element.clientWidth)));
    resize.observe(element);
    return () => resize.disconnect();
  }, []);

  const { sizes } = state;
  const shape = `${sizes.join()} ${state.features.join()}`;
  const last = sizes.length - 1;
  const tallest = Math.max(names.length, ...sizes);
  const pitch = 50;
  const height = HEAD + tallest * pitch;
  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` says all of the state that counts here
  const { places, wires } = useMemo(() => {
    const gap = (width - LABEL - BOX - 6) / Math.max(1, last);
    const at: Place[][] = sizes.map((size, column) =>
      Array.from({ length: size }, (_, row) => {
        const slot = column === 0 ? names.indexOf(state.features[row]!) : row;
        const many = column === 0 ? names.length : size;
        return {
          x: LABEL + column * gap,
          y: HEAD + ((tallest - many) * pitch) / 2 + slot * pitch + (pitch - BOX) / 2,
        };
      }),
    );
    const lines: Wire[] = [];
    for (let layer = 0; layer < last; layer++) {
      for (const [row, to] of at[layer + 1]!.entries()) {
        for (const [source, from] of at[layer]!.entries()) {
          const [x1, y1, x2, y2] = [from.x + BOX, from.y + BOX / 2, to.x, to.y + BOX / 2];
          const bend = (x1 + x2) / 2;
          lines.push({
            key: `${layer} ${row} ${source}`,
            path: `M${x1} ${y1}C${bend} ${y1} ${bend} ${y2} ${x2} ${y2}`,
            layer,
            row,
            source,
            middle: { x: bend, y: (y1 + y2) / 2 },
          });
        }
      }
    }
    return { places: at, wires: lines };
  }, [shape, width]);

  const weightOf = ({ layer, row, source }: Wire): number => {
    const weight = state.weights[layer]!;
    return weight.data[row * weight.shape[1]! + source] as number;
  };
  const largest = state.weights.reduce(
    (most, { data }) => (data as Float32Array).reduce((m, v) => (Math.abs(v) > m ? Math.abs(v) : m), most),
    1e-9,
  );

  /** All neurons are one stop of the Tab key; arrows go from one to the next. */
  const current: Unit =
    chosen && chosen.column <= last && chosen.row < sizes[chosen.column]! ? chosen : { column: 0, row: 0 };
  const stop: Unit = current.column > 0 ? current : { column: 1, row: 0 };
  const onKey = (event: KeyboardEvent) => {
    const to: Unit = { ...current };
    if (event.key === "ArrowRight") to.column = Math.min(last, current.column + 1);
    else if (event.key === "ArrowLeft") to.column = Math.max(0, current.column - 1);
    else if (event.key === "ArrowDown") to.row = current.row + 1;
    else if (event.key === "ArrowUp") to.row = current.row - 1;
    else if (event.key === "Escape") return choose(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
    to.row = Math.max(0, Math.min(sizes[to.column]! - 1, to.row));
    box.current?.querySelector<HTMLElement>(`[data-unit="${to.column} ${to.row}"]`)?.focus();
  };

  const change = (layer: number, by: number) =>
    setLayers(layers.map((size, i) => (i === layer ? Math.max(1, Math.min(most[1], size + by)) : size)));
  const toggle = (name: string) => {
    const on = features.includes(name);
    if (on && features.length === 1) return;
    setFeatures(names.filter((other) => (other === name ? !on : features.includes(other))));
  };
  const gap = (width - LABEL - BOX - 6) / Math.max(1, last);

  return (
    <section className="network" aria-label="Network">
      <header>
        <div className="title">Network</div>
        <span className="stepper">
          <button
            type="button"
            aria-label="Remove a hidden layer"
            aria-disabled={layers.length === 0}
            onClick={() => layers.length > 0 && setLayers(layers.slice(0, -1))}
          >
            −
          </button>
          <span>{plural(layers.length, "hidden layer")}</span>
          <button
            type="button"
            aria-label="Add a hidden layer"
            aria-disabled={layers.length >= most[0]}
            onClick={() => layers.length < most[0] && setLayers([...layers, Math.min(4, layers.at(-1) ?? 4)])}
          >
            +
          </button>
        </span>
        <span className="quiet shape">
          {plural(
            state.weights.reduce((n, w) => n + w.data.length, 0) + state.biases.reduce((n, b) => n + b.data.length, 0),
            "parameter",
          )}
        </span>
      </header>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: keys and pointer are handled for the neurons inside */}
      <div className="net" ref={box} style={{ height }} onKeyDown={onKey} onPointerLeave={() => setHint(null)}>
        <svg width={width} height={height} aria-hidden="true">
          {wires.map((wire) => {
            const value = weightOf(wire);
            const share = Math.min(1, Math.abs(value) / largest);
            const near =
              chosen === null ||
              (chosen.column === wire.layer + 1 && chosen.row === wire.row) ||
              (chosen.column === wire.layer && chosen.row === wire.source);
            return (
              <g key={wire.key} data-wire={wire.key}>
                <path
                  d={wire.path}
                  stroke={value < 0 ? "var(--low)" : "var(--high)"}
                  strokeWidth={0.5 + 5 * share}
                  strokeOpacity={near ? 0.85 : 0.22}
                  strokeDasharray={value < 0 ? "7 3" : undefined}
                />
                <path
                  className="hit"
                  d={wire.path}
                  onPointerEnter={() => setHint(wire)}
                  onPointerLeave={() => setHint((old) => (old === wire ? null : old))}
                />
              </g>
            );
          })}
        </svg>
        {sizes.map((size, column) => {
          const center = LABEL + column * gap + BOX / 2;
          const layer = column - 1;
          if (column === 0) {
            return (
              <div key="inputs" className="head" style={{ left: center }}>
                <span className="quiet">inputs</span>
              </div>
            );
          }
          if (column === last) {
            return (
              <div key="outputs" className="head" style={{ left: center }}>
                <span className="quiet">output</span>
              </div>
            );
          }
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: layers are told apart by their place
            <div key={column} className="head" style={{ left: center }}>
              <span className="stepper small">
                <button
                  type="button"
                  aria-label={`Remove a neuron from layer ${column}`}
                  aria-disabled={size <= 1}
                  onClick={() => size > 1 && change(layer, -1)}
                >
                  −
                </button>
                <button
                  type="button"
                  aria-label={`Add a neuron to layer ${column}`}
                  aria-disabled={size >= most[1]}
                  onClick={() => size < most[1] && change(layer, 1)}
                >
                  +
                </button>
              </span>
              <span className="quiet">{size}</span>
            </div>
          );
        })}
        {names.map((name, slot) => {
          const row = state.features.indexOf(name);
          const on = row >= 0;
          const y = HEAD + ((tallest - names.length) * pitch) / 2 + slot * pitch + (pitch - BOX) / 2;
          return (
            <div key={name}>
              <span className="label" data-on={on} style={{ top: y + BOX / 2, width: LABEL - 8 }} aria-hidden="true">
                {titles[name]}
              </span>
              <button
                type="button"
                className="unit"
                aria-pressed={features.includes(name)}
                aria-label={`Input ${titles[name]}`}
                title={on ? `Take ${titles[name]} away` : `Give the network ${titles[name]}`}
                data-on={on}
                data-unit={on ? `0 ${row}` : undefined}
                style={{ left: LABEL, top: y }}
                onClick={() => toggle(name)}
                onFocus={() => on && choose({ column: 0, row })}
                onBlur={() => choose(null)}
                onPointerEnter={() => on && choose({ column: 0, row })}
                onPointerLeave={() => choose(null)}
              >
                {on ? <Picture state={state} index={row} theme={theme} /> : <span aria-hidden="true">+</span>}
              </button>
            </div>
          );
        })}
        {places.slice(1).map((column, i) =>
          column.map((place, row) => {
            const unit = { column: i + 1, row };
            const name = nameOf(state, titles, unit);
            return (
              <button
                // biome-ignore lint/suspicious/noArrayIndexKey: neurons are told apart by their place
                key={`${i} ${row}`}
                type="button"
                className="unit"
                data-on="true"
                data-unit={`${unit.column} ${row}`}
                tabIndex={stop.column === unit.column && stop.row === row ? 0 : -1}
                aria-label={`${name[0]!.toUpperCase()}${name.slice(1)}`}
                aria-describedby={chosen?.column === unit.column && chosen.row === row ? about : undefined}
                style={{ left: place.x, top: place.y }}
                onFocus={() => choose(unit)}
                onBlur={() => choose(null)}
                onPointerEnter={() => choose(unit)}
                onPointerLeave={() => choose(null)}
              >
                <Picture state={state} index={pictureOf(sizes, unit)} theme={theme} />
              </button>
            );
          }),
        )}
        {hint && weightOf(hint) !== undefined ? (
          <div className="hint" style={{ left: hint.middle.x, top: hint.middle.y }}>
            weight <b>{number(weightOf(hint), 3)}</b>
          </div>
        ) : null}
      </div>
      <p className="about quiet" id={about}>
        {chosen && chosen.column <= last && chosen.row < sizes[chosen.column]! ? (
          <>
            <b>{nameOf(state, titles, chosen)}</b> {describe(state, titles, chosen)}
          </>
        ) : (
          "Blue is positive, orange (dashed lines) negative. Point at a neuron or a line, or go there with Tab and the arrow keys."
        )}
      </p>
    </section>
  );
}

function Picture({ state, index, theme }: { state: State; index: number; theme: Theme }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const size = GRID * GRID;
    const values = (state.pictures.data as Int8Array).subarray(index * size, (index + 1) * size);
    if (values.length < size) return;
    context.putImageData(new ImageData(pixelsOf(values, theme) as Uint8ClampedArray<ArrayBuffer>, GRID, GRID), 0, 0);
  }, [state, index, theme]);
  return <canvas ref={canvas} width={GRID} height={GRID} aria-hidden="true" />;
}
