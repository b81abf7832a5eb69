/** The hand on the wheel: buttons, fields for hyperparameters, and a second run from here. */
import { type FormEvent, type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { count, number } from "../../shared/format";
import type { Reply } from "../../shared/model";
import { ALIVE, type Board, type Run } from "./board";

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

/** What the field of a hyperparameter is called. */
export const labelOf = (name: string): string => (name === "lr" ? "learning rate" : name);

/** A number for editing: no thousands separators, all its digits. */
export const plain = (value: number | null | undefined): string =>
  value === null || value === undefined ? "" : number(value, 12).replaceAll(",", "");

/** The number that was typed; in words what is wrong with it. */
export function parse(run: Run, name: string, draft: string): number | string {
  const value = Number(draft.trim().replace(",", "."));
  const limits = run.status?.registered?.[name];
  const subject = labelOf(name);
  if (!draft.trim() || !Number.isFinite(value) || (!limits && value < 0)) {
    const kind = limits ? "a number" : "a number that is not negative";
    return `The ${subject} must be ${kind}, for example ${limits ? "0.5" : "0.001"}; "${draft}" is not.`;
  }
  if (limits?.integer && !Number.isInteger(value)) return `The ${subject} must be a whole number; "${draft}" is not.`;
  if (limits && limits.low !== null && value < limits.low) return `The ${subject} must be at least ${limits.low}.`;
  if (limits && limits.high !== null && value > limits.high) return `The ${subject} must be at most ${limits.high}.`;
  return value;
}

export function Controls({ board, run }: { board: Board; run: Run }) {
  const [said, setSaid] = useState("");
  const [cloning, setCloning] = useState(false);
  const [more, setMore] = useState(false);
  const busy = useRef(new Set<string>());
  const cloneButton = useRef<HTMLButtonElement>(null);
  const [reachable, reason] = run.reachable;
  const [clonable, whyNot] = run.clonable;
  const { status } = run;
  const alive = status !== null && ALIVE.includes(status.state);

  // Another run is steered now. The buttons stay the same ones, so that the focus stays where it is.
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is said and open belongs to the run before
  useEffect(() => {
    setSaid("");
    setCloning(false);
  }, [run.key]);

  const send = async (command: string, name?: string, value?: unknown): Promise<Reply> => {
    // A thousand clicks are one wish while the first is on its way; but each Step is a step of its own.
    const wish = `${run.key} ${command} ${name ?? ""}`;
    if (command !== "step" && command !== "set" && busy.current.has(wish)) return { ok: true };
    busy.current.add(wish);
    const reply = await board.command(run, command, name, value);
    busy.current.delete(wish);
    setSaid(reply.ok ? "" : (reply.error ?? "That did not work."));
    return reply;
  };

  const registered = Object.keys(status?.registered ?? {});
  const numbers = Object.keys(status?.hyperparameters ?? {});
  const others = numbers.filter((name) => name !== "lr" && name !== "initial_lr" && !registered.includes(name));
  const field = (name: string) => (
    <Setting
      key={`${run.key} ${name}`}
      run={run}
      name={name}
      possible={reachable && alive}
      apply={(value) => send("set", name, value)}
      complain={setSaid}
    />
  );
  return (
    <>
      <div className="controls" role="group" aria-label="Controls">
        {ACTIONS.map(({ label, command, when }) => {
          const possible = reachable && status !== null && when.includes(status.state);
          return (
            <button
              key={command}
              type="button"
              data-command={command}
              // Not `disabled`: a button that has just been pressed would lose the focus, and the next key would be
              // the notebook's.
              aria-disabled={!possible}
              onClick={() => possible && send(command)}
            >
              {label}
            </button>
          );
        })}
        <button
          type="button"
          ref={cloneButton}
          aria-disabled={!clonable}
          aria-expanded={cloning}
          title={clonable ? "Start a second run from here, with other settings" : whyNot.split("\n\n")[0]}
          onClick={() => (clonable ? setCloning(!cloning) : setSaid(whyNot))}
        >
          Clone from here
        </button>
      </div>
      <div className="settings" role="group" aria-label="Hyperparameters">
        {field("lr")}
        {registered.map(field)}
        {more ? others.map(field) : null}
        {others.length ? (
          <button type="button" className="plain" aria-expanded={more} onClick={() => setMore(!more)}>
            {more ? "Fewer settings" : `${others.length} more settings`}
          </button>
        ) : null}
      </div>
      {alive && !reachable ? <p className="note">{reason}</p> : null}
      {said ? (
        <div className="note" role="alert">
          {said.split("\n\n")[0]}
          {said.includes("\n\n") ? <code className="how">{said.slice(said.indexOf("\n\n") + 2)}</code> : null}
        </div>
      ) : null}
      {cloning && clonable ? (
        <Clone
          run={run}
          start={async (value) => {
            const reply = await send("clone", undefined, value);
            if (!reply.ok) return;
            setCloning(false);
            cloneButton.current?.focus(); // not to the page, where keys are the notebook's
          }}
          cancel={() => {
            setCloning(false);
            setSaid("");
            cloneButton.current?.focus();
          }}
          complain={setSaid}
        />
      ) : null}
    </>
  );
}

interface SettingProps {
  run: Run;
  name: string;
  possible: boolean;
  apply(value: number): void;
  complain(words: string): void;
}

function Setting({ run, name, possible, apply, complain }: SettingProps) {
  const id = useId();
  const [draft, setDraft] = useState<string | null>(null);
  const current = name === "lr" ? run.status?.lr : run.status?.hyperparameters?.[name];
  const submit = (event: FormEvent | KeyboardEvent) => {
    event.preventDefault();
    if (!possible || draft === null) return;
    const value = parse(run, name, draft);
    if (typeof value === "string") {
      complain(value);
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
    <form className="setting" onSubmit={submit} data-draft={draft !== null}>
      <label htmlFor={id}>{labelOf(name)}</label>
      <span className="field">
        <input
          id={id}
          type="text"
          inputMode="decimal"
          autoComplete="off"
          spellCheck={false}
          readOnly={!possible}
          aria-disabled={!possible}
          title={possible ? "Enter applies it from the next step on" : undefined}
          value={draft ?? plain(current)}
          onChange={(event) => setDraft(event.target.value)}
          onKeyDown={onKey}
          onBlur={() => setDraft(null)}
        />
        <kbd aria-hidden="true">↵</kbd>
      </span>
    </form>
  );
}

interface Wish {
  settings: Record<string, number>;
  checkpoint: string | null;
  name: string | null;
}

function Clone({
  run,
  start,
  cancel,
  complain,
}: {
  run: Run;
  start(wish: Wish): void;
  cancel(): void;
  complain(words: string): void;
}) {
  const id = useId();
  const names = Object.keys(run.status?.hyperparameters ?? {}).filter((name) => name !== "initial_lr");
  const [drafts, setDrafts] = useState<Record<string, string>>({});
  const [checkpoint, setCheckpoint] = useState("");
  const [name, setName] = useState("");
  const submit = (event: FormEvent | KeyboardEvent) => {
    event.preventDefault();
    const settings: Record<string, number> = {};
    for (const [key, draft] of Object.entries(drafts)) {
      if (draft === plain(run.status?.hyperparameters?.[key])) continue;
      const value = parse(run, key, draft);
      if (typeof value === "string") {
        complain(value);
        return;
      }
      settings[key] = value;
    }
    complain("");
    start({ settings, checkpoint: checkpoint || null, name: name.trim() || null });
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Escape") cancel();
    if (event.key === "Enter" && (event.target as Element).tagName === "INPUT") submit(event);
  };
  return (
    <form className="clone" aria-label="Second run" onSubmit={submit} onKeyDown={onKey}>
      <div className="lead">
        A second run goes on from here with the settings below; the first is not touched. Both are drawn.
      </div>
      <div className="fields">
        <label htmlFor={`${id}from`}>
          <span>Start from</span>
          <select id={`${id}from`} value={checkpoint} onChange={(event) => setCheckpoint(event.target.value)}>
            <option value="">here: step {count(run.status?.step ?? 0)}</option>
            {[...run.checkpoints].reverse().map((file) => (
              <option key={file} value={file}>
                {file}
              </option>
            ))}
          </select>
        </label>
        <label htmlFor={`${id}name`}>
          <span>Name</span>
          <input
            id={`${id}name`}
            type="text"
            maxLength={80}
            placeholder="as the first, with -clone"
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        {names.map((key) => (
          <label key={key} htmlFor={`${id}${key}`}>
            <span>New {labelOf(key)}</span>
            <input
              id={`${id}${key}`}
              type="text"
              inputMode="decimal"
              autoComplete="off"
              spellCheck={false}
              value={drafts[key] ?? plain(run.status?.hyperparameters?.[key])}
              onChange={(event) => setDrafts({ ...drafts, [key]: event.target.value })}
            />
          </label>
        ))}
      </div>
      <div className="buttons">
        <button type="submit" className="primary">
          Start second run
        </button>
        <button type="button" onClick={cancel}>
          Cancel
        </button>
      </div>
    </form>
  );
}
