/** TrainingCurves in the browser: where the run is, buttons to steer it, and its curves. */
import { type FormEvent, type KeyboardEvent, useEffect, useId, useMemo, useState, useSyncExternalStore } from "react";
import uplotCss from "uplot/dist/uPlot.min.css";
import { bytes, count, duration, number, plural } from "../../shared/format";
import { type Model, useTrait } from "../../shared/model";
import { define } from "../../shared/mount";
import { useTheme } from "../../shared/theme";
import { Chart } from "./chart";
import { ALIVE, type Along, families, Run, type RunEvent, type Status } from "./run";
import css from "./view.css";

const STATES: Record<string, string> = {
  ready: "Not started",
  running: "Running",
  paused: "Paused",
  stopping: "Stopping",
  stopped: "Stopped",
  finished: "Finished",
  failed: "Failed",
  lost: "Lost",
};

export function TrainingCurves({ run, model }: { run: Run; model: Model }) {
  const version = useSyncExternalStore(run.subscribe, run.snapshot);
  const theme = useTheme();
  const [axis, setAxis] = useTrait<Along>(model, "x");
  const [smoothing, setSmoothing] = useTrait<number>(model, "smoothing");
  const [logY, setLogY] = useTrait<boolean>(model, "log_y");
  const [metrics] = useTrait<string[] | null>(model, "metrics");
  const cursorKey = useId();
  const status = run.status;
  const names = [...run.series.keys()].sort().join("\n");
  const panels = useMemo(() => [...families(names ? names.split("\n") : [], metrics)], [names, metrics]);

  return (
    <div
      className="mlkit mlkit-curves"
      data-theme={theme}
      data-state={status?.state ?? "waiting"}
      data-step={status?.step ?? 0}
      role="region"
      aria-label={`Training curves${run.title ? ` of ${run.title}` : ""}`}
    >
      <div className="top">
        <div className="heading">{run.title || "Training"}</div>
        <span className="badge" role="status" data-state={status?.state ?? "waiting"}>
          {status ? (STATES[status.state] ?? status.state) : "Waiting for the kernel"}
        </span>
        <Progress status={status} />
      </div>
      <Controls run={run} status={status} />
      <Notes run={run} status={status} />
      {panels.length === 0 ? (
        <p className="empty quiet">{status ? "Nothing has been recorded yet." : "Asking the kernel for the curve."}</p>
      ) : (
        <>
          <div className="panels">
            {panels.map(([family, members]) => (
              <Chart
                key={family}
                run={run}
                version={version}
                family={family}
                names={members}
                axis={axis}
                smoothing={smoothing}
                logY={logY}
                theme={theme}
                cursorKey={cursorKey}
              />
            ))}
          </div>
          <div className="options">
            <label>
              Smoothing
              <input
                type="range"
                min={0}
                max={0.98}
                step={0.02}
                value={smoothing}
                onChange={(event) => setSmoothing(Number(event.target.value))}
              />
              <output>{number(smoothing)}</output>
            </label>
            <label>
              <input type="checkbox" checked={logY} onChange={(event) => setLogY(event.target.checked)} />
              Log loss
            </label>
            <label>
              Along
              <select value={axis} onChange={(event) => setAxis(event.target.value as Along)}>
                <option value="step">steps</option>
                <option value="epoch">epochs</option>
                <option value="time">time</option>
              </select>
            </label>
          </div>
        </>
      )}
    </div>
  );
}

function Progress({ status }: { status: Status | null }) {
  if (!status) return null;
  const { step, steps, epoch, epochs, eta, elapsed, examples_per_second: speed, memory_bytes: memory, state } = status;
  const share = step && steps ? Math.min(1, step / steps) : null;
  const parts: string[] = [];
  // The status counts epochs that are done; a reader wants the one that is under way.
  const underWay = state === "running" || state === "paused" || state === "stopping" ? 1 : 0;
  if (epochs) parts.push(`epoch ${count(Math.min((epoch ?? 0) + underWay, epochs))} of ${count(epochs)}`);
  parts.push(steps ? `step ${count(step ?? 0)} of ${count(steps)}` : plural(step ?? 0, "step"));
  if (share !== null) parts.push(`${Math.floor(share * 100)} %`);
  if (state === "running" && eta !== null && eta !== undefined) parts.push(`${duration(eta)} left`);
  else if (elapsed) parts.push(`took ${duration(elapsed)}`);
  if (state === "running" && speed) parts.push(`${number(speed, 3)} examples/s`);
  if (memory) parts.push(bytes(memory));
  return (
    <div className="place">
      <progress max={1} value={share ?? 0} aria-label="Share of the steps done" />
      <p className="quiet">
        {parts.map((part) => (
          <span key={part}>{part}</span>
        ))}
      </p>
    </div>
  );
}

interface Action {
  label: string;
  command: string;
  when: string[];
}

const ACTIONS: Action[] = [
  { label: "Pause", command: "pause", when: ["running"] },
  { label: "Resume", command: "resume", when: ["paused"] },
  { label: "Step", command: "step", when: ["paused"] },
  { label: "Stop", command: "stop", when: ["running", "paused"] },
  { label: "Save checkpoint", command: "checkpoint", when: ["running", "paused"] },
];

function Controls({ run, status }: { run: Run; status: Status | null }) {
  const [said, setSaid] = useState("");
  const [reachable, reason] = run.reachable;
  const alive = status !== null && ALIVE.includes(status.state);
  const send = async (command: string, name?: string, value?: number) => {
    const reply = await run.command(command, name, value);
    setSaid(reply.ok ? "" : (reply.error ?? "That did not work."));
  };
  return (
    <>
      <div className="controls" role="group" aria-label="Controls">
        {ACTIONS.map(({ label, command, when }) => {
          const possible = reachable && status !== null && when.includes(status.state);
          return (
            <button
              key={command}
              type="button"
              // Not `disabled`: a button that has just been pressed would lose the focus, and the next key would be
              // the notebook's.
              aria-disabled={!possible}
              onClick={() => possible && send(command)}
            >
              {label}
            </button>
          );
        })}
        <LearningRate
          current={status?.lr ?? null}
          possible={reachable && alive}
          apply={(value) => send("set", "lr", value)}
          complain={setSaid}
        />
      </div>
      {alive && !reachable ? <p className="note">{reason}</p> : null}
      {said ? (
        <p className="note" role="alert">
          {said}
        </p>
      ) : null}
    </>
  );
}

interface RateProps {
  current: number | null;
  possible: boolean;
  apply(value: number): void;
  complain(words: string): void;
}

function LearningRate({ current, possible, apply, complain }: RateProps) {
  const id = useId();
  const [draft, setDraft] = useState<string | null>(null);
  const submit = (event: FormEvent | KeyboardEvent) => {
    event.preventDefault();
    if (!possible || draft === null) return;
    const value = Number(draft.trim().replace(",", "."));
    if (!draft.trim() || !Number.isFinite(value) || value < 0) {
      complain(`The learning rate must be a number that is not negative, for example 0.001; "${draft}" is not.`);
      return;
    }
    complain("");
    apply(value);
    setDraft(null);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Escape") setDraft(null);
    // Not left to the form: JupyterLab cancels what Enter would do there.
    if (event.key === "Enter") submit(event);
  };
  return (
    <form className="rate" onSubmit={submit}>
      <label htmlFor={id}>Learning rate</label>
      <input
        id={id}
        type="text"
        inputMode="decimal"
        autoComplete="off"
        spellCheck={false}
        readOnly={!possible}
        aria-disabled={!possible}
        title="Press Enter to apply from the next step on"
        value={draft ?? plain(current)}
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={onKey}
        onBlur={() => setDraft(null)}
      />
      <span className="quiet hint">{draft === null ? "" : "Enter applies"}</span>
    </form>
  );
}

/** A number for editing: no thousands separators. */
const plain = (value: number | null): string => (value === null ? "" : number(value).replaceAll(",", ""));

function Notes({ run, status }: { run: Run; status: Status | null }) {
  const newest = (kind: string): RunEvent | undefined => run.events.findLast((event) => event.kind === kind);
  const checkpoint = newest("checkpoint");
  const message = newest("message");
  const [waited, setWaited] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setWaited(true), 4000);
    return () => clearTimeout(timer);
  }, []);
  return (
    <>
      {status?.state === "failed" ? (
        <pre className="error" role="alert">
          {status.error || "Training ended with an error."}
        </pre>
      ) : null}
      {status?.state === "lost" ? (
        <p className="note">The process that trained has ended without saying so. The curves show what it recorded.</p>
      ) : null}
      {run.problem ? <p className="note">{run.problem}</p> : null}
      {!status && waited ? (
        <p className="note">The kernel has not answered yet: it is busy with another cell, or it has been shut down.</p>
      ) : null}
      {checkpoint?.error ? <p className="note">{String(checkpoint.error)}</p> : null}
      {checkpoint?.path && !checkpoint.error ? (
        <p className="note quiet">
          Checkpoint at step {count(checkpoint.step ?? 0)}: <code>{String(checkpoint.path)}</code>
        </p>
      ) : null}
      {message?.text ? <p className="note">{String(message.text)}</p> : null}
    </>
  );
}

export default define(
  "training-curves",
  `${uplotCss}\n${css}`,
  ({ channel }) => new Run(channel),
  (run, { model }) => <TrainingCurves run={run} model={model} />,
  (run) => run.close(),
);
