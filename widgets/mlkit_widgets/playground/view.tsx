/** The playground in the browser: choose a problem and a network, press Play, and see every neuron learn. */
import { type ReactNode, useEffect, useId, useRef, useState, useSyncExternalStore } from "react";
import { count } from "../../shared/format";
import { type Model, type Reply, useTrait } from "../../shared/model";
import { define } from "../../shared/mount";
import { useTheme } from "../../shared/theme";
import { Network, nameOf, type Unit } from "./network";
import { Curve, Mark, Plane } from "./plane";
import { Playing } from "./state";
import css from "./view.css";

interface About {
  own: boolean;
  toys: string[];
  features: Record<string, string>;
  most: [number, number];
  extent: number;
}

const RATES = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3];
const PENALTIES = [0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1];
const SEEN_EVERY = 20_000;

const TITLES: Record<string, string> = {
  circles: "Circles",
  xor: "Xor",
  blobs: "Blobs",
  moons: "Moons",
  spirals: "Spirals",
  plane: "Slope",
  hills: "Hills",
  own: "Your points",
};
const REGRESSIONS = ["plane", "hills"];

export function Playground({ playing: store, model }: { playing: Playing; model: Model }) {
  useSyncExternalStore(store.subscribe, store.snapshot);
  const theme = useTheme();
  const [about] = useTrait<About>(model, "_about");
  const [playing, setPlaying] = useTrait<boolean>(model, "playing");
  const [layers, setLayers] = useTrait<number[]>(model, "layers");
  const [features, setFeatures] = useTrait<string[]>(model, "features");
  const [showTest, setShowTest] = useTrait<boolean>(model, "show_test");
  const [discrete, setDiscrete] = useTrait<boolean>(model, "discrete");
  const [chosen, choose] = useState<Unit | null>(null);
  const [code, setCode] = useState(false);
  const { state, points } = store;
  const late = useLate(state === null);

  useEffect(() => {
    if (!playing) return;
    const timer = setInterval(() => store.channel.send({ kind: "seen" }), SEEN_EVERY);
    return () => clearInterval(timer);
  }, [playing, store]);

  const play = () => {
    setPlaying(!playing);
    store.ask({ kind: "seen" }); // a kernel that is gone or busy should not go unnoticed
  };
  const titles = about.features ?? {};
  const fits =
    state !== null &&
    (chosen === null || (chosen.column < state.sizes.length && chosen.row < state.sizes[chosen.column]!)); // prettier-ignore
  const unit = fits ? chosen : null;

  return (
    <div
      className="mlkit mlkit-playground"
      data-theme={theme}
      data-playing={playing}
      data-steps={state?.steps ?? 0}
      role="region"
      aria-label="Playground"
    >
      <div className="bar">
        <div className="transport" role="group" aria-label="Training">
          <button type="button" className="play" data-on={playing} onClick={play}>
            <Icon name={playing ? "pause" : "play"} />
            {playing ? "Pause" : "Play"}
          </button>
          <button type="button" onClick={() => store.ask({ kind: "step" })}>
            <Icon name="step" />
            Step
          </button>
          <button type="button" onClick={() => store.ask({ kind: "reset" })}>
            <Icon name="reset" />
            Reset
          </button>
        </div>
        <div className="count">
          <b>{count(state?.steps ?? 0)}</b> <span className="quiet">steps</span>
          <span className="quiet epoch">epoch {count(Math.floor(state?.epoch ?? 0))}</span>
        </div>
        <Choice
          model={model}
          trait="speed"
          label="Speed"
          options={[
            ["slow", "slow"],
            ["normal", "normal"],
            ["fast", "fast"],
          ]}
        />
        <button type="button" className="end" aria-expanded={code} onClick={() => setCode(!code)}>
          <Icon name="code" />
          Code
        </button>
      </div>
      <div className="bar settings" role="group" aria-label="How it learns">
        <NumberChoice model={model} trait="lr" label="Learning rate" options={RATES} />
        <Choice
          model={model}
          trait="activation"
          label="Activation"
          options={[
            ["tanh", "tanh"],
            ["relu", "ReLU"],
            ["sigmoid", "sigmoid"],
            ["gelu", "GELU"],
            ["linear", "linear"],
          ]}
        />
        <Choice
          model={model}
          trait="optimizer"
          label="Optimizer"
          options={[
            ["adam", "Adam"],
            ["sgd", "SGD"],
            ["momentum", "SGD + momentum"],
            ["rmsprop", "RMSprop"],
          ]}
        />
        <Choice
          model={model}
          trait="regularization"
          label="Regularization"
          options={[
            ["none", "none"],
            ["l1", "L1"],
            ["l2", "L2"],
          ]}
        />
        <NumberChoice model={model} trait="regularization_rate" label="Regularization rate" options={PENALTIES} />
      </div>
      {state?.trouble ? (
        <p className="note bad" role="alert">
          {state.trouble}
        </p>
      ) : null}
      {store.problem ? (
        <p className="note" role="alert">
          {store.problem}
        </p>
      ) : null}
      {code ? <Code store={store} model={model} /> : null}
      <div className="main">
        <Problem model={model} about={about} store={store} />
        {state && points ? (
          <>
            <Network
              state={state}
              theme={theme}
              titles={titles}
              most={about.most}
              layers={layers}
              features={features}
              chosen={unit}
              choose={choose}
              setLayers={setLayers}
              setFeatures={setFeatures}
            />
            <section className="output" aria-label="Output">
              <header>
                <div className="title">Output</div>
              </header>
              <Plane
                state={state}
                points={points}
                theme={theme}
                extent={about.extent}
                chosen={unit}
                name={unit ? nameOf(state, titles, unit) : ""}
                showTest={showTest}
                discrete={discrete}
              />
              <div className="checks">
                <label>
                  <input type="checkbox" checked={showTest} onChange={(event) => setShowTest(event.target.checked)} />
                  Test points
                </label>
                {points.kind === "classification" ? (
                  <label>
                    <input type="checkbox" checked={discrete} onChange={(event) => setDiscrete(event.target.checked)} />
                    Sharp edges
                  </label>
                ) : null}
              </div>
              <Curve state={state} />
            </section>
          </>
        ) : (
          <p className="empty quiet" role="status">
            {late
              ? "The kernel has not answered yet: it is busy with another cell, or it has been shut down. Run the cell again."
              : "Asking the kernel for the network."}
          </p>
        )}
      </div>
    </div>
  );
}

function useLate(waiting: boolean): boolean {
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (!waiting) return;
    const timer = setTimeout(() => setLate(true), 4000);
    return () => clearTimeout(timer);
  }, [waiting]);
  return waiting && late;
}

interface ChoiceProps {
  model: Model;
  trait: string;
  label: string;
}

function Choice({ model, trait, label, options }: ChoiceProps & { options: [string, string][] }) {
  const [value, setValue] = useTrait<string>(model, trait);
  return (
    <label className="choice">
      <span className="quiet">{label}</span>
      <select value={value} onChange={(event) => setValue(event.target.value)}>
        {options.map(([key, title]) => (
          <option key={key} value={key}>
            {title}
          </option>
        ))}
      </select>
    </label>
  );
}

function NumberChoice({ model, trait, label, options }: ChoiceProps & { options: number[] }) {
  const [value, setValue] = useTrait<number>(model, trait);
  const all = [...new Set([...options, value])].sort((a, b) => a - b); // one set from Python is offered too
  return (
    <label className="choice">
      <span className="quiet">{label}</span>
      <select value={value} onChange={(event) => setValue(Number(event.target.value))}>
        {all.map((option) => (
          <option key={option} value={option}>
            {String(option)}
          </option>
        ))}
      </select>
    </label>
  );
}

function Problem({ model, about, store }: { model: Model; about: About; store: Playing }) {
  const [dataset, setDataset] = useTrait<string>(model, "dataset");
  const group = useId();
  const own = dataset === "own";
  const toys = [...(about.own ? ["own"] : []), ...(about.toys ?? [])];
  return (
    <section className="problem" aria-label="Points">
      <header>
        <div className="title">Points</div>
        <button
          type="button"
          className="mini"
          title={own ? "Another share of them for training, and other first weights" : "Other points of the same kind"}
          onClick={() => store.ask({ kind: "new points" })}
        >
          {own ? "Shuffle" : "New points"}
        </button>
      </header>
      <fieldset>
        <legend className="visually-hidden">Problem</legend>
        {toys.map((name) => (
          <label key={name} title={TITLES[name]} data-on={name === dataset}>
            <input
              type="radio"
              name={group}
              className="visually-hidden"
              checked={name === dataset}
              onChange={() => setDataset(name)}
            />
            <Thumbnail name={name} />
            <span>{TITLES[name] ?? name}</span>
          </label>
        ))}
      </fieldset>
      {own ? null : (
        <>
          <Slider model={model} trait="noise" label="Noise" low={0} high={1} step={0.05} show={percent} />
          <Slider model={model} trait="samples" label="Points" low={20} high={1000} step={20} show={count} />
        </>
      )}
      <Slider model={model} trait="train_share" label="For training" low={0.1} high={0.9} step={0.05} show={percent} />
      <Slider model={model} trait="batch_size" label="Batch size" low={1} high={100} step={1} show={count} />
    </section>
  );
}

const percent = (value: number): string => `${Math.round(100 * value)} %`;

interface SliderProps extends ChoiceProps {
  low: number;
  high: number;
  step: number;
  show(value: number): string;
}

function Slider({ model, trait, label, low, high, step, show }: SliderProps) {
  const [value, setValue] = useTrait<number>(model, trait);
  return (
    <label className="slider">
      <span>
        <span className="quiet">{label}</span>
        <output>{show(value)}</output>
      </span>
      <input
        type="range"
        min={low}
        max={high}
        step={step}
        value={value}
        aria-valuetext={show(value)}
        onChange={(event) => setValue(Number(event.target.value))}
      />
    </label>
  );
}

/** A few points that say what a problem is like. */
function Thumbnail({ name }: { name: string }) {
  if (REGRESSIONS.includes(name)) {
    return (
      <svg viewBox="0 0 48 32" aria-hidden="true" className="thumb">
        {Array.from({ length: 24 }, (_, i) => {
          const [x, y] = [(i % 6) * 8, Math.floor(i / 6) * 8];
          const value = name === "plane" ? x / 20 - y / 12 : 1.4 * Math.sin(x / 7) * Math.cos(y / 8);
          return (
            <rect
              // biome-ignore lint/suspicious/noArrayIndexKey: these never change
              key={i}
              x={x}
              y={y}
              width={8}
              height={8}
              className={value < 0 ? "low" : "high"}
              opacity={Math.min(1, 0.15 + Math.abs(value))}
            />
          );
        })}
      </svg>
    );
  }
  const dots: [x: number, y: number, kind: number][] = [];
  for (let i = 0; i < 14; i++) {
    const turn = (2 * Math.PI * i) / 14;
    const part = i / 13;
    if (name === "circles") {
      dots.push([24 + 19 * Math.cos(turn), 16 + 13 * Math.sin(turn), 0]);
      if (i % 2) dots.push([24 + 7 * Math.cos(turn), 16 + 5 * Math.sin(turn), 1]);
    } else if (name === "moons") {
      dots.push([19 + 13 * Math.cos(Math.PI * part), 19 - 13 * Math.sin(Math.PI * part), 0]);
      dots.push([30 - 13 * Math.cos(Math.PI * part), 13 + 13 * Math.sin(Math.PI * part), 1]);
    } else if (name === "spirals") {
      for (const kind of [0, 1]) {
        const angle = 2 * Math.PI * part + Math.PI * kind;
        dots.push([24 + 19 * part * Math.cos(angle), 16 + 13 * part * Math.sin(angle), kind]);
      }
    } else {
      const [a, b] = [(i * 37) % 13, (i * 61) % 11];
      if (name === "xor") {
        const kind = i % 2;
        const right = i % 4 < 2;
        dots.push([(right ? 29 : 6) + a, ((kind === 1) === right ? 2 : 19) + b, kind]);
      } else if (name === "blobs") {
        const [x, y] = [
          [4, 18],
          [30, 17],
          [18, 1],
        ][i % 3] as [number, number];
        dots.push([x + a, y + b, i % 3]);
      } else dots.push([6 + ((i * 37) % 37), 3 + ((i * 53) % 27), i % 2]);
    }
  }
  return (
    <svg viewBox="0 0 48 32" aria-hidden="true" className="thumb">
      {dots.map(([x, y, kind], i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: these never change
        <g key={i} transform={`translate(${x - 2.4} ${y - 2.4})`}>
          <Mark kind={kind} size={5} />
        </g>
      ))}
    </svg>
  );
}

const WRITTEN = [
  "dataset",
  "samples",
  "noise",
  "train_share",
  "features",
  "layers",
  "activation",
  "optimizer",
  "lr",
  "regularization",
  "regularization_rate",
  "batch_size",
  "seed",
]; // prettier-ignore

/** Changes whenever the script does. */
function useEdition(model: Model): number {
  const [edition, setEdition] = useState(0);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    const changed = () => {
      clearTimeout(timer);
      timer = setTimeout(() => setEdition((old) => old + 1), 150); // a slider on its way is not worth a script each
    };
    for (const name of WRITTEN) model.on(`change:${name}`, changed as never);
    return () => {
      clearTimeout(timer);
      for (const name of WRITTEN) model.off(`change:${name}`, changed as never);
    };
  }, [model]);
  return edition;
}

function Code({ store, model }: { store: Playing; model: Model }) {
  const edition = useEdition(model);
  const [library, setLibrary] = useState("mlkit");
  const [text, setText] = useState("");
  const [copied, setCopied] = useState("");
  const group = useId();
  const pre = useRef<HTMLPreElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new edition is asked for
  useEffect(() => {
    let current = true;
    store.ask({ kind: "code", library }).then((reply: Reply & { code?: string }) => {
      if (current && reply.code !== undefined) setText(reply.code);
    });
    return () => {
      current = false;
    };
  }, [store, library, edition]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied("Copied");
    } catch {
      // Not every page may write to the clipboard: then the text is marked, and one key away.
      const range = document.createRange();
      range.selectNodeContents(pre.current!);
      getSelection()?.removeAllRanges();
      getSelection()?.addRange(range);
      setCopied("Marked: press Ctrl+C");
    }
  };
  return (
    <section className="code" aria-label="Code">
      <div className="bar">
        <fieldset className="switch">
          <legend className="visually-hidden">Library</legend>
          {[
            ["mlkit", "mlkit"],
            ["torch", "PyTorch"],
          ].map(([key, title]) => (
            <label key={key} data-on={library === key}>
              <input
                type="radio"
                className="visually-hidden"
                name={group}
                checked={library === key}
                onChange={() => {
                  setLibrary(key!);
                  setCopied("");
                }}
              />
              {title}
            </label>
          ))}
        </fieldset>
        <button type="button" onClick={copy}>
          Copy
        </button>
        <span role="status" className="quiet">
          {copied}
        </span>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it */}
      <pre ref={pre} tabIndex={0} role="region" aria-label="Script">
        {text}
      </pre>
    </section>
  );
}

function Icon({ name }: { name: "play" | "pause" | "step" | "reset" | "code" }): ReactNode {
  const path = {
    play: "M4 2.5v11l9-5.5z",
    pause: "M4 3h3v10H4zM9 3h3v10H9z",
    step: "M3 2.5v11l7-5.5zM11 3h2.4v10H11z",
    reset: "M8 3a5 5 0 1 0 4.9 6h-1.7A3.4 3.4 0 1 1 8 4.6c.9 0 1.7.35 2.3.95L8.6 7.2H13V2.8l-1.5 1.5A5 5 0 0 0 8 3z",
    code: "M5.7 4.3 2 8l3.7 3.7 1.1-1.1L4.2 8l2.6-2.6zM10.3 4.3 9.2 5.4 11.8 8l-2.6 2.6 1.1 1.1L14 8z",
  }[name];
  return (
    <svg width="14" height="14" viewBox="0 0 16 16" aria-hidden="true" className="icon">
      <path d={path} fill="currentColor" />
    </svg>
  );
}

export default define(
  "playground",
  css,
  ({ channel }) => new Playing(channel),
  (playing, { model }) => <Playground playing={playing} model={model} />,
  (playing) => playing.close(),
);
