/** Several runs side by side: which are drawn, which one the buttons steer, and what differs between them. */
import { count, number } from "../../shared/format";
import { bestOf, colourOf, familyOf, labelsOf, type Run } from "./board";

export const STATES: Record<string, string> = {
  ready: "Not started",
  running: "Running",
  paused: "Paused",
  stopping: "Stopping",
  stopped: "Stopped",
  finished: "Finished",
  failed: "Failed",
  lost: "Lost",
};

/** The curve by which runs are compared: the validation's accuracy, else its loss, else the training's loss. */
function yardstick(runs: Run[]): string | null {
  const names = new Set(runs.flatMap((run) => [...run.curves.keys()]));
  return ["valid/accuracy", "valid/loss", "train/loss"].find((name) => names.has(name)) ?? null;
}

/** Settings that are not the same in all runs. */
export function differing(runs: Run[]): string[] {
  const all = runs.map(
    (run) => ({ ...run.settings, ...(run.status?.hyperparameters ?? {}) }) as Record<string, unknown>,
  );
  const names = [...new Set(all.flatMap((one) => Object.keys(one)))].filter((name) => name !== "initial_lr");
  return names.filter((name) => new Set(all.map((one) => shown(one[name]))).size > 1);
}

/** What a run directory's name ends in: date, time and four digits. */
export const stamp = /-\d{8}-\d{6}-[0-9a-f]{4}$/;

/** When a run began, from the name of its directory. */
export function begun(title: string): string {
  const found = /-(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)\d\d-[0-9a-f]{4}$/.exec(title);
  return found ? `${found[1]}-${found[2]}-${found[3]} ${found[4]}:${found[5]}` : "";
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" ? number(value) : String(value);
}

interface Props {
  runs: Run[];
  hidden: string[];
  setHidden(keys: string[]): void;
  selected: Run;
  select(key: string): void;
  name: string;
}

export function Runs({ runs, hidden, setHidden, selected, select, name }: Props) {
  const metric = yardstick(runs);
  const labels = labelsOf(runs);
  const settings = differing(runs).slice(0, 5);
  const bests = runs.map((run) => {
    const curve = metric ? run.curves.get(metric) : undefined;
    return curve ? (bestOf(curve, familyOf(metric!))?.[2] ?? null) : null;
  });
  const known = bests.filter((value): value is number => value !== null);
  const top = known.length ? (metric!.endsWith("loss") ? Math.min(...known) : Math.max(...known)) : null;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a table wider than the page is scrolled with the keyboard
    <div className="runs" tabIndex={0} role="region" aria-label="Runs">
      <table>
        <thead>
          <tr>
            <th scope="col">Show</th>
            <th scope="col">Steer</th>
            <th scope="col" className="wide">
              Run
            </th>
            <th scope="col">State</th>
            <th scope="col" className="right">
              Step
            </th>
            {metric ? (
              <th scope="col" className="right">
                Best {metric.replace("/", " ")}
              </th>
            ) : null}
            {settings.map((setting) => (
              <th key={setting} scope="col" className="right">
                {setting === "lr" ? "learning rate" : setting}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {runs.map((run, index) => {
            const visible = !hidden.includes(run.key);
            const values: Record<string, unknown> = { ...run.settings, ...(run.status?.hyperparameters ?? {}) };
            return (
              <tr key={run.key} data-selected={run === selected} data-visible={visible}>
                <td>
                  <input
                    type="checkbox"
                    aria-label={`Show ${run.title}`}
                    checked={visible}
                    onChange={() => setHidden(visible ? [...hidden, run.key] : hidden.filter((key) => key !== run.key))}
                  />
                </td>
                <td>
                  <input
                    type="radio"
                    name={name}
                    aria-label={`Steer ${run.title}`}
                    checked={run === selected}
                    onChange={() => select(run.key)}
                  />
                </td>
                <th scope="row" className="wide">
                  <i style={{ color: `var(--${colourOf(run)})` }} aria-hidden="true" />
                  <span title={run.title}>{labels.get(run)}</span>
                  <small className="quiet">{begun(run.title)}</small>
                </th>
                <td>
                  <span className="state" data-state={run.status?.state ?? "waiting"}>
                    {run.status ? (STATES[run.status.state] ?? run.status.state) : "…"}
                  </span>
                </td>
                <td className="right">{count(run.status?.step ?? 0)}</td>
                {metric ? (
                  <td className="right">
                    {bests[index] === null ? "–" : number(bests[index])}
                    {bests[index] !== null && bests[index] === top && known.length > 1 ? (
                      <>
                        {" "}
                        <b className="star" role="img" aria-label="the best of all" title="the best of all">
                          ★
                        </b>
                      </>
                    ) : null}
                  </td>
                ) : null}
                {settings.map((setting) => (
                  <td key={setting} className="right">
                    {shown(values[setting])}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
