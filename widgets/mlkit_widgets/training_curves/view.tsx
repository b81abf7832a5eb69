/** TrainingCurves in the browser: where the runs are, buttons to steer them, and their curves. */
import { useEffect, useId, useMemo, useState, useSyncExternalStore } from "react";
import { bytes, count, duration, number, plural } from "../../shared/format";
import { Menu } from "../../shared/menu";
import { type Model, useTrait } from "../../shared/model";
import { define } from "../../shared/mount";
import { useTheme } from "../../shared/theme";
import {
  type Along,
  Board,
  colourOf,
  families,
  labelsOf,
  partOf,
  type Report,
  type Run,
  type RunEvent,
  titleOf,
  usual,
} from "./board";
import { Chart, Cursor } from "./chart";
import { Controls } from "./controls";
import { exportAs, type Format } from "./export";
import { type Folder, Library, Nothing } from "./library";
import type { Line, View } from "./plot";
import { Runs, STATES } from "./runs";
import css from "./view.css";

interface Panel {
  id: string;
  title: string;
  family: string;
  lines: Line[];
}

/** One panel for each family; with several runs train and validation are apart, and each run has its colour. */
function panelsOf(runs: Run[], shown: string[], groups: Map<string, string[]>): Panel[] {
  if (runs.length === 1) {
    const run = runs[0]!;
    return shown.map((family) => ({
      id: family,
      title: titleOf(family),
      family,
      lines: (groups.get(family) ?? []).map((name) => {
        const part = partOf(name);
        return { run, name, label: part, colour: part === "train" || part === "valid" ? part : "other" };
      }),
    }));
  }
  const labels = labelsOf(runs);
  return shown.flatMap((family) =>
    (groups.get(family) ?? []).map((name) => ({
      id: name,
      title: partOf(name) ? `${titleOf(family)} · ${partOf(name)}` : titleOf(family),
      family,
      lines: runs
        .filter((run) => (run.families[family] ?? []).includes(name))
        .map((run) => ({ run, name, label: labels.get(run) ?? run.title, colour: colourOf(run) })),
    })),
  );
}

export function TrainingCurves({ board, model }: { board: Board; model: Model }) {
  const version = useSyncExternalStore(board.subscribe, board.snapshot);
  const theme = useTheme();
  const [axis, setAxis] = useTrait<Along>(model, "x");
  const [smoothing, setSmoothing] = useTrait<number>(model, "smoothing");
  const [logX, setLogX] = useTrait<boolean>(model, "log_x");
  const [logY, setLogY] = useTrait<boolean>(model, "log_y");
  const [metrics, setMetrics] = useTrait<string[] | null>(model, "metrics");
  const [zoomed, setZoom] = useTrait<[number, number] | null>(model, "zoom");
  const [hidden, setHidden] = useTrait<string[]>(model, "hidden");
  const [selectedKey, setSelected] = useTrait<string>(model, "selected");
  const [library] = useTrait<Folder | null>(model, "_library");
  const [followNew, setFollowNew] = useTrait<boolean>(model, "follow_new");
  const id = useId();
  const cursor = useMemo(() => new Cursor(), []);
  const { runs } = board;
  const selected = runs.find((run) => run.key === selectedKey) ?? runs[0] ?? null;
  const visible = useMemo(() => {
    const some = runs.filter((run) => !hidden.includes(run.key));
    return some.length ? some : runs.slice(0, 0);
  }, [runs, hidden]);
  const groups = useMemo(() => {
    void version; // names of new series come with any message
    return families(visible);
  }, [visible, version]);
  const names = JSON.stringify([...groups]);
  const panels = useMemo(() => {
    const known = new Map<string, string[]>(JSON.parse(names));
    const shown = metrics ? metrics.filter((family) => known.has(family)) : usual([...known.keys()]);
    return visible.length ? panelsOf(visible, shown, known) : [];
  }, [names, metrics, visible]);
  const zoom = zoomed && zoomed.length === 2 ? zoomed : null;
  const view: View = useMemo(() => ({ axis, smoothing, logX, logY, zoom }), [axis, smoothing, logX, logY, zoom]);
  const status = selected?.status ?? null;

  const changeAxis = (next: Along) => {
    setZoom(null); // it is in the units of the axis
    setAxis(next);
  };

  const content = (
    <>
      <div className="top">
        <div className="heading" title={selected?.title}>
          {selected?.title || "Training"}
        </div>
        <span className="badge" role="status" data-state={status?.state ?? "waiting"}>
          {status ? (STATES[status.state] ?? status.state) : "Waiting for the kernel"}
        </span>
      </div>
      {selected ? (
        <>
          <Progress run={selected} />
          <Controls board={board} run={selected} />
        </>
      ) : null}
      <Notes board={board} run={selected} />
      {runs.length > 1 && selected ? (
        <Runs
          runs={runs}
          hidden={hidden}
          setHidden={setHidden}
          selected={selected}
          select={setSelected}
          name={`${id}steer`}
        />
      ) : null}
      {groups.size === 0 ? (
        <p className="empty quiet">
          {!board.answered
            ? "Asking the kernel for the curve."
            : runs.length && !visible.length
              ? "All runs are hidden: tick one under Show."
              : status?.state === "running"
                ? "The first step is under way. It takes longer than the others where kernels are compiled for this machine."
                : "Nothing has been recorded yet. Curves appear with the first training step."}
        </p>
      ) : (
        <>
          <Toolbar
            board={board}
            model={model}
            theme={theme}
            all={[...groups.keys()]}
            metrics={metrics}
            setMetrics={setMetrics}
            axis={axis}
            setAxis={changeAxis}
            logX={logX}
            setLogX={setLogX}
            logY={logY}
            setLogY={setLogY}
            smoothing={smoothing}
            setSmoothing={setSmoothing}
            zoomed={zoom !== null}
            reset={() => setZoom(null)}
          />
          <div className="panels">
            {panels.map((panel) => (
              <Chart
                key={panel.id}
                id={panel.id}
                title={panel.title}
                family={panel.family}
                lines={panel.lines}
                runs={visible}
                version={version}
                view={view}
                setZoom={setZoom}
                theme={theme}
                cursor={cursor}
              />
            ))}
          </div>
        </>
      )}
    </>
  );
  return (
    <div
      className="mlkit mlkit-curves"
      data-monitor={library !== null}
      data-theme={theme}
      data-state={status?.state ?? "waiting"}
      data-step={status?.step ?? 0}
      role="region"
      aria-label={`Training curves${selected?.title ? ` of ${runs.length > 1 ? `${runs.length} runs` : selected.title}` : ""}`}
    >
      {library?.runs.length ? (
        <Library board={board} folder={library} followNew={followNew} setFollowNew={setFollowNew} />
      ) : null}
      <div className="main">{library && !runs.length ? <Nothing folder={library} /> : content}</div>
    </div>
  );
}

interface ToolbarProps {
  board: Board;
  model: Model;
  theme: string;
  all: string[];
  metrics: string[] | null;
  setMetrics(metrics: string[] | null): void;
  axis: Along;
  setAxis(axis: Along): void;
  logX: boolean;
  setLogX(on: boolean): void;
  logY: boolean;
  setLogY(on: boolean): void;
  smoothing: number;
  setSmoothing(weight: number): void;
  zoomed: boolean;
  reset(): void;
}

function Toolbar(props: ToolbarProps) {
  const { board, model, theme, all, metrics, setMetrics } = props;
  const [said, setSaid] = useState("");
  const chosen = metrics ?? usual(all);
  const save = (format: Format) => {
    setSaid("");
    exportAs(format, board, model, theme, setSaid).catch((error: Error) => setSaid(error.message));
  };
  return (
    <div className="options" role="group" aria-label="View">
      <Menu label="Metrics">
        {() => (
          <>
            {all.map((family) => (
              <label key={family}>
                <input
                  type="checkbox"
                  checked={chosen.includes(family)}
                  onChange={(event) =>
                    setMetrics(
                      event.target.checked
                        ? all.filter((one) => chosen.includes(one) || one === family)
                        : chosen.filter((one) => one !== family),
                    )
                  }
                />
                {titleOf(family)}
              </label>
            ))}
            <button type="button" className="plain" onClick={() => setMetrics(null)}>
              The usual ones
            </button>
          </>
        )}
      </Menu>
      <label>
        Along
        <select value={props.axis} onChange={(event) => props.setAxis(event.target.value as Along)}>
          <option value="step">steps</option>
          <option value="epoch">epochs</option>
          <option value="time">time</option>
        </select>
      </label>
      <label>
        <input type="checkbox" checked={props.logX} onChange={(event) => props.setLogX(event.target.checked)} />
        Log x
      </label>
      <label>
        <input type="checkbox" checked={props.logY} onChange={(event) => props.setLogY(event.target.checked)} />
        Log y
      </label>
      <label>
        Smoothing
        <input
          type="range"
          min={0}
          max={0.98}
          step={0.02}
          value={props.smoothing}
          onChange={(event) => props.setSmoothing(Number(event.target.value))}
        />
        <output>{number(props.smoothing)}</output>
      </label>
      <span className="end">
        <span className="quiet said" role="status">
          {said}
        </span>
        {props.zoomed ? (
          <button type="button" onClick={props.reset}>
            Show all
          </button>
        ) : null}
        <Menu label="Export">
          {(close) =>
            (["png", "svg", "csv"] as const).map((format) => (
              <button
                key={format}
                type="button"
                className="plain"
                onClick={() => {
                  close();
                  save(format);
                }}
              >
                {format.toUpperCase()}
                <span className="quiet">{{ png: " picture", svg: " drawing", csv: " every point" }[format]}</span>
              </button>
            ))
          }
        </Menu>
      </span>
    </div>
  );
}

function Progress({ run }: { run: Run }) {
  const { status } = run;
  if (!status) return null;
  const { step, steps, epoch, epochs, eta, elapsed, examples_per_second: speed, memory_bytes: memory, state } = status;
  const share = step && steps ? Math.min(1, step / steps) : null;
  const parts: [string, string][] = [];
  // The status counts epochs that are done; a reader wants the one that is under way.
  const underWay = state === "running" || state === "paused" || state === "stopping" ? 1 : 0;
  if (epochs) parts.push(["epoch", `${count(Math.min((epoch ?? 0) + underWay, epochs))} of ${count(epochs)}`]);
  parts.push(["step", steps ? `${count(step ?? 0)} of ${count(steps)}` : count(step ?? 0)]);
  if (state === "running" && eta !== null && eta !== undefined) parts.push(["time left", duration(eta)]);
  if (elapsed) parts.push([underWay ? "elapsed" : "took", duration(elapsed)]);
  if (state === "running" && speed) parts.push(["throughput", `${number(speed, 3)} examples/s`]);
  if (memory) parts.push(["memory", bytes(memory)]);
  return (
    <div className="place">
      <div className="bar">
        <progress max={1} value={share ?? 0} aria-label="Share of the steps done" />
        <span>{share === null ? plural(step ?? 0, "step") : `${Math.floor(share * 100)} %`}</span>
      </div>
      <dl>
        {parts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

function Failure({ report, error }: { report: Report | null; error: string }) {
  if (!report) {
    return (
      <pre className="error" role="alert">
        {error}
      </pre>
    );
  }
  return (
    <div className="failure" role="alert">
      <p className="kind">{report.type}</p>
      <p>{report.sentence}</p>
      {report.details ? <pre>{report.details}</pre> : null}
      {report.place ? (
        <>
          <p className="quiet">your line: {report.place}</p>
          <pre>
            {report.source.map(([line, text, here]) => (
              <span key={line} data-here={here}>
                <span className="quiet">{String(line).padStart(4)}</span> {here ? <b>{text}</b> : text}
                {"\n"}
              </span>
            ))}
          </pre>
        </>
      ) : null}
      {report.hint ? (
        <p className="hint">
          <b>What to do:</b> {report.hint}
        </p>
      ) : null}
    </div>
  );
}

function Notes({ board, run }: { board: Board; run: Run | null }) {
  const newest = (kind: string): RunEvent | undefined => run?.events.findLast((event) => event.kind === kind);
  const checkpoint = newest("checkpoint");
  const message = newest("message");
  const status = run?.status;
  const [waited, setWaited] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setWaited(true), 4000);
    return () => clearTimeout(timer);
  }, []);
  return (
    <>
      {status?.state === "failed" ? (
        <Failure report={status.report ?? null} error={status.error || "Training ended with an error."} />
      ) : null}
      {status?.state === "lost" ? (
        <p className="note">The process that trained has ended without saying so. The curves show what it recorded.</p>
      ) : null}
      {board.problem ? <p className="note">{board.problem}</p> : null}
      {!board.answered && waited ? (
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
  css,
  ({ channel }) => new Board(channel),
  (board, { model }) => <TrainingCurves board={board} model={model} />,
  (board) => board.close(),
);
