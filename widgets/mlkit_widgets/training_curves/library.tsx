/** The folder of a monitor: which runs there are; those that are ticked are drawn. */
import { useState } from "react";
import type { Board } from "./board";
import { begun, STATES, stamp } from "./runs";

interface Listed {
  name: string;
  state: string;
  share: number | null;
  model: string | null;
  created: string;
}

export interface Folder {
  root: string;
  runs: Listed[];
  more: number;
  shown: string[];
}

interface Props {
  board: Board;
  folder: Folder;
  followNew: boolean;
  setFollowNew(on: boolean): void;
}

export function Library({ board, folder, followNew, setFollowNew }: Props) {
  const [search, setSearch] = useState("");
  const [said, setSaid] = useState("");
  const [wanted, setWanted] = useState<string[] | null>(null);
  const shown = wanted ?? folder.shown;
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const matching = folder.runs.filter(({ name, state, model }) =>
    words.every((word) => `${name} ${STATES[state] ?? state} ${model ?? ""}`.toLowerCase().includes(word)),
  );
  const watch = async (names: string[]) => {
    setWanted(names); // ticked at once; the kernel's word replaces it
    const reply = await board.ask({ kind: "watch", names });
    setWanted(null);
    setSaid(reply.ok ? "" : (reply.error ?? ""));
  };
  return (
    <aside className="library" aria-label="Runs on disk">
      <div className="title">Runs</div>
      <div className="quiet root" title={folder.root}>
        <bdi dir="ltr">{folder.root}</bdi>
      </div>
      {folder.runs.length ? (
        <input
          type="search"
          aria-label="Search runs"
          placeholder="Search name, state, model"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
      ) : null}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a list longer than the page is scrolled with the keyboard */}
      <div className="list" tabIndex={0} role="group" aria-label="Runs to draw">
        {matching.map((run) => (
          <label key={run.name} title={run.name}>
            <input
              type="checkbox"
              checked={shown.includes(run.name)}
              onChange={(event) =>
                watch(event.target.checked ? [...shown, run.name] : shown.filter((name) => name !== run.name))
              }
            />
            <span className="what">
              <span className="name">{run.name.replace(stamp, "")}</span>
              <small className="quiet">{[begun(run.name), run.model].filter(Boolean).join(" · ")}</small>
            </span>
            <span className="state" data-state={run.state}>
              {run.state === "running" && run.share !== null
                ? `${Math.floor(run.share * 100)} %`
                : (STATES[run.state] ?? run.state)}
            </span>
          </label>
        ))}
        {folder.runs.length && !matching.length ? <p className="quiet">No run matches “{search}”.</p> : null}
        {folder.more ? <p className="quiet">and {folder.more} older ones</p> : null}
      </div>
      {folder.runs.length ? (
        <label className="follow">
          <input type="checkbox" checked={followNew} onChange={(event) => setFollowNew(event.target.checked)} />
          Draw new runs when they begin
        </label>
      ) : null}
      {said ? (
        <p className="note" role="alert">
          {said}
        </p>
      ) : null}
    </aside>
  );
}

const EXAMPLE = `trainer = Trainer(model)
run = trainer.start(loader, epochs=10)`;

/** What to do where there is nothing yet. */
export function Nothing({ folder }: { folder: Folder }) {
  if (folder.runs.length) {
    return (
      <div className="nothing">
        <p className="big">No run is chosen.</p>
        <p className="quiet">Tick one or several in the list: they are drawn side by side, live or finished.</p>
      </div>
    );
  }
  return (
    <div className="nothing">
      <p className="big">No runs here yet.</p>
      <p>Start a training in a notebook or a script, and it appears here by itself:</p>
      <pre>{EXAMPLE}</pre>
      <p className="quiet">
        Runs are looked for in <code>{folder.root}</code>. If yours are kept elsewhere, set the environment variable{" "}
        <code>MLKIT_RUNS</code> to that folder, for the training and for this dashboard, or write{" "}
        <code>TrainingMonitor("that/folder")</code>.
      </p>
    </div>
  );
}
