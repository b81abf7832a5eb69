/** Training from the canvas: what with, how it stands, and its curves. */
import { useState } from "react";
import { duration, number } from "../../shared/format";
import { ALIVE, type Answer, type Editor, type Training } from "./editor";

interface Settings {
  chosen: Record<string, string | number>;
  data: Record<string, string>;
  losses: Record<string, string>;
  optimizers: Record<string, string>;
  sample: string;
  objections: { message: string; repair: string }[];
}

const STATES: Record<string, string> = {
  none: "Not started",
  preparing: "Preparing",
  running: "Running",
  paused: "Paused",
  stopping: "Stopping",
  stopped: "Stopped",
  finished: "Finished",
  failed: "Failed",
};

export function Train({ editor, run }: { editor: Editor; run(answer: Promise<Answer>): void }) {
  const { chosen, data, losses, optimizers, sample, objections } = editor.model.get("_training") as Settings;
  const training = editor.training;
  const alive = ALIVE.includes(training.state);
  const alone = editor.home === "document";
  const set = (name: string, value: string | number) => run(editor.step("training", null, { name, value }));
  const choice = (name: string, label: string, choices: Record<string, string>) => (
    <label>
      <span>{label}</span>
      <select value={chosen[name]} onChange={(event) => set(name, event.target.value)}>
        {Object.entries(choices).map(([key, words]) => (
          <option key={key} value={key}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
  const entry = (name: string, label: string, hint = "") => (
    <Entry
      key={`${name} ${chosen[name]}`}
      label={label}
      hint={hint}
      value={String(chosen[name] ?? "")}
      apply={(text) => set(name, name.endsWith("_name") ? text : Number(text.replace(",", ".")))}
    />
  );
  const button = (label: string, possible: boolean, act: () => void) => (
    <button
      type="button"
      className={label === "Train" ? "main" : ""}
      aria-disabled={!possible}
      onClick={() => possible && act()}
    >
      {label}
    </button>
  );
  const steer = (what: string) => () => run(editor.step("steer", null, { what }));
  return (
    <div className="train">
      <div className="controls" role="group" aria-label="Training">
        {button("Train", !alive && objections.length === 0, () => run(editor.channel.ask({ kind: "train" })))}
        {training.state === "paused"
          ? button("Resume", true, steer("resume"))
          : button("Pause", training.state === "running", steer("pause"))}
        {button("Stop", ["running", "paused"].includes(training.state), steer("stop"))}
        <span className="badge" role="status" data-state={training.state}>
          {STATES[training.state] ?? training.state}
        </span>
      </div>
      {!alive && objections.length ? (
        <ul className="objections" aria-label="Before it can train">
          {objections.map(({ message, repair }, i) => (
            <li key={message}>
              <span>{message}</span>
              {repair ? (
                <button type="button" onClick={() => run(editor.step("overcome", null, { number: i }))}>
                  {repair}
                </button>
              ) : null}
            </li>
          ))}
        </ul>
      ) : null}
      {training.error ? (
        <pre className="error" role="alert">
          {training.error}
        </pre>
      ) : null}
      {training.curves ? <Progress training={training} /> : null}
      <fieldset disabled={alive}>
        <legend className="visually-hidden">What the model is trained with</legend>
        {choice("data", "Data", data)}
        <p className="quiet hint">{sample}</p>
        {choice("loss", "Loss", losses)}
        {choice("optimizer", "Optimizer", optimizers)}
        <div className="row">
          {entry("lr", "Learning rate")}
          {entry("epochs", "Epochs")}
          {entry("batch_size", "Batch size")}
        </div>
        {alone ? null : (
          <div className="row">
            {entry("model_name", "Model variable", "model")}
            {entry("run_name", "Run variable", "run")}
          </div>
        )}
      </fieldset>
      {alone ? (
        <div className="kept">
          <p className="quiet hint">
            It trains in this document's own Python, and the weights live there until the document is closed. To keep
            them, have them written beside it, with a notebook that loads them.
          </p>
          {button("Open the trained model in a notebook", Boolean(training.curves) && !alive, () =>
            run(editor.step("notebook", null)),
          )}
        </div>
      ) : (
        <p className="quiet hint">
          {Object.keys(training.names ?? {}).length
            ? `In the notebook: ${Object.values(training.names!).join(", ")}.`
            : "Results are builder.model and builder.run; name variables to have them in the notebook too."}
        </p>
      )}
    </div>
  );
}

interface EntryProps {
  label: string;
  hint: string;
  value: string;
  apply(text: string): void;
}

function Entry({ label, hint, value, apply }: EntryProps) {
  const [draft, setDraft] = useState(value);
  const commit = () => draft.trim() !== value && apply(draft.trim());
  return (
    <label>
      <span>{label}</span>
      <input
        type="text"
        value={draft}
        placeholder={hint}
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => setDraft(event.target.value)}
        onBlur={commit}
        onKeyDown={(event) => {
          if (event.key === "Enter") commit();
          if (event.key === "Escape") setDraft(value);
        }}
      />
    </label>
  );
}

function Progress({ training }: { training: Training }) {
  const { step = 0, steps, epoch = 0, epochs, eta, elapsed, state, curves = {}, last = {} } = training;
  const parts = [`step ${step}${steps ? ` of ${steps}` : ""}`];
  if (epochs) parts.unshift(`epoch ${Math.min(epoch + (ALIVE.includes(state) ? 1 : 0), epochs)} of ${epochs}`);
  if (state === "running" && eta !== null && eta !== undefined) parts.push(`${duration(eta)} left`);
  else if (elapsed) parts.push(`took ${duration(elapsed)}`);
  return (
    <div className="standing" data-step={step}>
      <progress max={1} value={steps ? step / steps : 0} aria-label="Share of the steps done" />
      <p className="quiet">{parts.join(" · ")}</p>
      {["loss", "accuracy"].map((family) =>
        curves[`train/${family}`] ? <Curve key={family} family={family} curves={curves} last={last} /> : null,
      )}
    </div>
  );
}

const WIDE = 280;
const HIGH = 84;

function Curve({
  family,
  curves,
  last,
}: {
  family: string;
  curves: NonNullable<Training["curves"]>;
  last: Record<string, number>;
}) {
  const parts = ["train", "valid"].filter((part) => curves[`${part}/${family}`]);
  const all = parts.flatMap((part) => curves[`${part}/${family}`]![1].filter((v) => v !== null));
  const most = Math.max(1, ...parts.flatMap((part) => curves[`${part}/${family}`]![0]));
  const low = family === "accuracy" ? Math.min(...all) : 0;
  const high = family === "accuracy" ? 1 : Math.max(...all);
  const x = (step: number) => (step / most) * WIDE;
  const y = (value: number) => HIGH - 3 - ((value - low) / (high - low || 1)) * (HIGH - 6);
  const said = parts.map((part) => `${part} ${family} ${number(last[`${part}/${family}`], 3)}`).join(", ");
  return (
    <figure>
      <figcaption>
        <b>{family}</b>
        {parts.map((part) => (
          <span key={part} data-part={part}>
            {part}{" "}
            {family === "accuracy"
              ? `${number(100 * last[`${part}/${family}`]!, 3)} %`
              : number(last[`${part}/${family}`], 3)}
          </span>
        ))}
      </figcaption>
      <svg viewBox={`0 0 ${WIDE} ${HIGH}`} preserveAspectRatio="none" role="img" aria-label={said}>
        {parts.map((part) => {
          const [steps, values] = curves[`${part}/${family}`]!;
          let path = "";
          values.forEach((value, i) => {
            if (value !== null) path += `${path ? "L" : "M"}${x(steps[i]!).toFixed(1)} ${y(value).toFixed(1)}`;
          });
          return <path key={part} d={path} data-part={part} vectorEffect="non-scaling-stroke" />;
        })}
      </svg>
    </figure>
  );
}
