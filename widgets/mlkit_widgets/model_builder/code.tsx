/** The model as code: read, edited, copied. What was edited goes to Python after a pause, or with Apply. */
import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react";
import type { Answer, Editor } from "./editor";

interface Code {
  text: string;
  library: string;
  missing: string;
  warnings: { line: number; text: string }[];
}

const PAUSE = 1500;
const TOKENS =
  /(#.*)|("""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|\b(class|def|return|for|in|import|from|self|super|None|True|False|range)\b|\b(\d[\d._e]*)\b/g;
const STYLES = ["comment", "text", "word", "number"];

/** Python with its words marked, for the eyes alone. */
export function highlight(code: string): ReactNode[] {
  const out: ReactNode[] = [];
  let at = 0;
  for (const match of code.matchAll(TOKENS)) {
    if (match.index > at) out.push(code.slice(at, match.index));
    const style = STYLES[match.slice(1).findIndex((part) => part !== undefined)];
    out.push(
      <span key={match.index} className={`t-${style}`}>
        {match[0]}
      </span>,
    );
    at = match.index + match[0].length;
  }
  out.push(code.slice(at));
  return out;
}

export const lineOf = (message: string): number => Number(/\bline (\d+)/.exec(message)?.[1] ?? 0);

export function CodePane({ editor, say }: { editor: Editor; say(words: string): void }) {
  const code = editor.model.get("_code") as Code;
  const [draft, setDraft] = useState<string | null>(null);
  const [error, setError] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const back = useRef<HTMLPreElement>(null);
  const kept = useRef(code.text);
  if (code.text) kept.current = code.text;
  const text = draft ?? (code.text || kept.current);
  const latest = useRef(draft);
  latest.current = draft;

  const apply = async () => {
    const sent = latest.current;
    if (sent === null) return;
    const answer: Answer = await editor.step("code", null, { text: sent });
    if (latest.current !== sent) return; // edited further meanwhile
    setError(answer.ok ? "" : (answer.error ?? ""));
    if (answer.ok) {
      setDraft(null);
      say("The canvas shows the edited code.");
    }
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: each edit begins a new pause
  useEffect(() => {
    if (draft === null) return;
    const timer = setTimeout(apply, PAUSE);
    return () => clearTimeout(timer);
  }, [draft]);

  const onKey = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    event.stopPropagation();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      apply();
    }
    if (event.key === "Escape") field.current?.blur();
  };
  const bad = lineOf(error);
  const lines = text.split("\n");
  return (
    <div className="code">
      <div className="controls">
        <label>
          <span>Imports</span>
          <select value={code.library} onChange={(event) => editor.step("library", null, { name: event.target.value })}>
            <option value="both">mlkit, else PyTorch</option>
            <option value="mlkit">mlkit</option>
            <option value="torch">PyTorch</option>
          </select>
        </label>
        <button
          type="button"
          aria-disabled={!text}
          onClick={async () => {
            await navigator.clipboard?.writeText(text).catch(() => field.current?.select());
            say("The code is copied.");
          }}
        >
          Copy code
        </button>
        <button type="button" aria-disabled={draft === null} onClick={apply}>
          Apply
        </button>
        {draft === null ? null : (
          <button
            type="button"
            onClick={() => {
              setDraft(null);
              setError("");
            }}
          >
            Discard
          </button>
        )}
      </div>
      {error ? (
        <pre className="error" role="alert">
          {error}
        </pre>
      ) : null}
      {code.missing && draft === null ? <p className="note">Not whole yet. {code.missing}</p> : null}
      {draft === null
        ? code.warnings.map(({ text: words }) => (
            <p className="note" key={words}>
              {words}
            </p>
          ))
        : null}
      <div className="editor" data-stale={Boolean(code.missing) && draft === null}>
        <pre className="numbers" aria-hidden="true" ref={back}>
          {lines.map((_, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a line is its number
            <span key={i} data-mark={i + 1 === bad ? "bad" : undefined}>
              {i + 1}
            </span>
          ))}
        </pre>
        <div className="sheet">
          <pre aria-hidden="true">
            {highlight(text)}
            {"\n"}
          </pre>
          <textarea
            ref={field}
            aria-label="Code"
            aria-invalid={Boolean(error)}
            spellCheck={false}
            autoComplete="off"
            wrap="off"
            value={text}
            placeholder="Paste a class Net(nn.Module) here, or add blocks to the canvas."
            onChange={(event) => setDraft(event.target.value)}
            onKeyDown={onKey}
            onPaste={(event) => event.stopPropagation()}
            onCopy={(event) => event.stopPropagation()}
          />
        </div>
      </div>
      <p className="quiet hint">
        {draft === null ? "Edit it: the canvas follows." : "Applied after a pause, or with Ctrl+Enter."}
      </p>
    </div>
  );
}
