/** The side panel: runs, tensors and models, memory. */
import { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, Notification } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import {
  caretDownIcon,
  caretRightIcon,
  copyIcon,
  LabIcon,
  ReactWidget,
  refreshIcon,
  runIcon,
  stopIcon
} from '@jupyterlab/ui-components';
import { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import React from 'react';

import { pauseIcon, eyeIcon, lineIcon, networkIcon } from './icon.js';
import { IModelRow, ITensorRow, KernelWatch } from './kernel.js';
import { Standing } from './model.js';
import { goTo, offerCode } from './notebook-panel.js';
import { IRun } from './server.js';
import { bytes, count, literal, progress, seconds, shape, short, value } from './words.js';

/** Runs shown before "Show all": those that are going on, and a few of the others. */
const FEW = 4;

/** Models and tensors shown before "Show all". */
const ROWS = 40;

export class MlkitPanel extends ReactWidget {
  constructor(app: JupyterFrontEnd, standing: Standing, rendermime: IRenderMimeRegistry) {
    super();
    this._props = { app, standing, rendermime };
    this.id = 'mlkit-panel';
    this.title.icon = networkIcon;
    this.title.caption = 'mlkit: runs, tensors, memory';
    this.addClass('mlkit-Panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'mlkit');
  }

  protected render(): JSX.Element {
    return <Contents {...this._props} />;
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._props.standing.open = true;
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._props.standing.open = this.isVisible;
  }

  protected onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this._props.standing.open = false;
  }

  private readonly _props: IProps;
}

interface IProps {
  app: JupyterFrontEnd;
  standing: Standing;
  rendermime: IRenderMimeRegistry;
}

/** Draw again when something has changed. React gathers what comes together, and the status bar's part: one frame for all. */
function useChanges(standing: Standing): void {
  const [, draw] = React.useReducer((n: number) => n + 1, 0);
  React.useEffect(() => {
    standing.changed.connect(draw);
    return () => {
      standing.changed.disconnect(draw);
    };
  }, [standing]);
}

function Contents(props: IProps): JSX.Element {
  const { standing } = props;
  useChanges(standing);
  return (
    <>
      <div className="mlkit-Panel-head">
        <h2>mlkit</h2>
        <Tool icon={refreshIcon} label="Refresh" onClick={() => standing.refresh()} />
      </div>
      <div className="mlkit-Panel-body">
        <Runs {...props} />
        <Names {...props} />
        <Memory {...props} />
      </div>
    </>
  );
}

function Tool(props: { icon: LabIcon; label: string; onClick: () => void; words?: string }): JSX.Element {
  return (
    <button
      type="button"
      className={props.words ? 'mlkit-Button' : 'mlkit-Tool'}
      title={props.label}
      aria-label={props.label}
      onClick={props.onClick}
    >
      <props.icon.react tag="span" className="mlkit-Icon" />
      {props.words}
    </button>
  );
}

function Section(props: { title: string; note?: string; children: React.ReactNode }): JSX.Element {
  const [open, setOpen] = React.useState(true);
  const id = React.useId();
  const Caret = open ? caretDownIcon : caretRightIcon;
  return (
    <section aria-labelledby={id} className="mlkit-Section">
      <h3>
        <button type="button" id={id} aria-expanded={open} onClick={() => setOpen(!open)}>
          <Caret.react tag="span" className="mlkit-Icon" />
          {props.title}
          {props.note ? <span className="mlkit-Quiet"> {props.note}</span> : null}
        </button>
      </h3>
      {open ? props.children : null}
    </section>
  );
}

// --- runs ---------------------------------------------------------------------------------------------------------

function Runs({ app, standing }: IProps): JSX.Element {
  const [all, setAll] = React.useState(false);
  const state = standing.state;
  const runs = state?.runs ?? [];
  const alive = runs.filter(run => run.alive).length;
  const shown = all ? runs : runs.slice(0, Math.max(FEW, alive));
  return (
    <Section title="Runs" note={state ? (alive ? `${alive} live of ${state.total}` : String(state.total)) : ''}>
      {standing.problem ? (
        <p className="mlkit-Note mlkit-Bad" role="alert">
          {standing.problem}
        </p>
      ) : null}
      {state && !runs.length ? (
        <p className="mlkit-Note">
          No runs yet. A <code>Trainer</code> keeps each training in a folder <code>runs</code>; it then appears here, live.
        </p>
      ) : null}
      {!state && !standing.problem ? <p className="mlkit-Note">Looking for runs…</p> : null}
      <ul className="mlkit-List">
        {shown.map(run => (
          <Run key={run.id} run={run} app={app} standing={standing} />
        ))}
      </ul>
      {runs.length > shown.length || all ? (
        <button type="button" className="mlkit-More" onClick={() => setAll(!all)}>
          {all ? 'Show fewer' : `Show all ${runs.length}`}
        </button>
      ) : null}
      {state && state.total > runs.length && all ? (
        <p className="mlkit-Note">The newest {runs.length} of {state.total}; <code>mlkit runs list</code> names them all.</p>
      ) : null}
    </Section>
  );
}

const GLYPH: Record<string, string> = {
  running: '▶', paused: '⏸', stopping: '◼', stopped: '◼', finished: '✓', failed: '✕', lost: '?', ready: '○'
}; // prettier-ignore

/** Drawn again only when the run itself has something new. */
const Run = React.memo(function Run({ run, app, standing }: { run: IRun; app: JupyterFrontEnd; standing: Standing }): JSX.Element {
  const [sent, setSent] = React.useState('');
  React.useEffect(() => setSent(''), [run.state]);
  const done = progress(run);
  const code = `from mlkit.widgets import Watch\n\nWatch(${literal(run.id)})`;
  const act = (command: string) => {
    setSent(command);
    void standing.send(run, command).then(() => window.setTimeout(() => setSent(''), 3000));
  };
  const where = [
    run.epoch !== null && run.epochs ? `epoch ${run.epoch} of ${run.epochs}` : '',
    run.step !== null ? `step ${count(run.step)}${run.steps && run.alive ? ` of ${count(run.steps)}` : ''}` : '',
    run.alive && run.eta !== null ? `${seconds(run.eta)} left` : ''
  ].filter(Boolean);
  const numbers = Object.entries(run.last).slice(0, 4);
  return (
    <li className="mlkit-Run" data-state={run.state} aria-label={`${run.name}, ${run.state}`}>
      <div className="mlkit-Run-top">
        <button
          type="button"
          className="mlkit-Name"
          title={`${run.title}\n${run.folder}\nWatch it: puts Watch(…) into a new cell`}
          onClick={() => void offerCode(app, standing.watch.panel, code, 'Watch')}
        >
          {run.name}
        </button>
        <span className="mlkit-State" data-state={run.state}>
          <span aria-hidden="true">{GLYPH[run.state] ?? ''}</span> {sent && run.alive ? `${sent}…` : run.state}
        </span>
      </div>
      <Curve run={run} />
      {done !== null && run.alive ? (
        <div
          className="mlkit-Progress"
          role="progressbar"
          aria-label={`Progress of ${run.name}`}
          aria-valuenow={Math.round(done * 100)}
          aria-valuemin={0}
          aria-valuemax={100}
        >
          <div style={{ width: `${done * 100}%` }} />
        </div>
      ) : null}
      <div className="mlkit-Quiet">{where.join(' · ') || run.model}</div>
      {numbers.length ? (
        <div className="mlkit-Numbers">
          {numbers.map(([name, last]) => (
            <span key={name}>
              {name} <b>{value(last)}</b>
            </span>
          ))}
        </div>
      ) : null}
      {run.error ? (
        <div className="mlkit-Bad mlkit-Error" title={run.error}>
          {run.error}
        </div>
      ) : null}
      <div className="mlkit-Tools">
        {run.alive && run.reachable ? (
          <>
            {run.state === 'paused' ? (
              <Tool icon={runIcon} label={`Resume ${run.name}`} words="Resume" onClick={() => act('resume')} />
            ) : (
              <Tool icon={pauseIcon} label={`Pause ${run.name}`} words="Pause" onClick={() => act('pause')} />
            )}
            <Tool icon={stopIcon} label={`Stop ${run.name}`} words="Stop" onClick={() => act('stop')} />
          </>
        ) : null}
        <Tool
          icon={eyeIcon}
          label={`Watch ${run.name} in the notebook`}
          words="Watch"
          onClick={() => void offerCode(app, standing.watch.panel, code, 'Watch')}
        />
        <Tool
          icon={copyIcon}
          label={`Copy the code that watches ${run.name}`}
          onClick={() => {
            Clipboard.copyToSystem(code);
            Notification.info('Copied: paste it into a notebook.', { autoClose: 2500 });
          }}
        />
      </div>
      {run.alive && !run.reachable && run.reason ? <div className="mlkit-Quiet">{run.reason}</div> : null}
    </li>
  );
});

const WIDTH = 200;
const HEIGHT = 34;

/** Losses of a run: training and validation on one scale. Numbers that are none are gaps. */
function Curve({ run }: { run: IRun }): JSX.Element | null {
  const series = Object.entries(run.series).filter(([, [steps]]) => steps.length > 1);
  const values = series.flatMap(([, [, ys]]) => ys.filter((y): y is number => y !== null));
  if (!values.length) {
    return null;
  }
  const steps = series.flatMap(([, [xs]]) => xs);
  const [left, right] = [Math.min(...steps), Math.max(...steps)];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (step: number) => 1 + ((step - left) / (right - left || 1)) * (WIDTH - 2);
  const y = (v: number) => HEIGHT - 2 - ((v - low) / (high - low || 1)) * (HEIGHT - 4);
  const words = series.map(([name, [, ys]]) => `${name} ${value(ys[0])} to ${value(ys[ys.length - 1])}`).join(', ');
  return (
    <svg className="mlkit-Curve" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={words}>
      <title>{words}</title>
      {series.map(([name, [xs, ys]]) => {
        let pen = false;
        const path = xs
          .map((step, i) => {
            const v = ys[i];
            if (v === null) {
              pen = false;
              return '';
            }
            const move = pen ? 'L' : 'M';
            pen = true;
            return `${move}${x(step).toFixed(1)} ${y(v).toFixed(1)}`;
          })
          .join('');
        return <path key={name} d={path} data-series={name.startsWith('valid') ? 'valid' : 'train'} />;
      })}
    </svg>
  );
}

// --- names --------------------------------------------------------------------------------------------------------

function Names(props: IProps): JSX.Element {
  const { standing } = props;
  const watch = standing.watch;
  const probe = watch.probe;
  const situation = watch.situation;
  const title = watch.panel?.title.label ?? '';
  const stale = probe !== null && situation !== 'shown';
  return (
    <>
      <Section title="Tensors" note={probe ? `${probe.tensors.length}${probe.more ? ` and ${probe.more} more names` : ''}` : ''}>
        <p className="mlkit-Note" role="status" data-situation={situation}>
          <Words watch={watch} title={title} />
        </p>
        {probe ? (
          <Rows {...props} stale={stale} what="tensors">
            {probe.tensors.map(row => (
              <Tensor key={row.name} row={row} {...props} shared={sharing(row, probe.tensors)} />
            ))}
          </Rows>
        ) : null}
      </Section>
      {probe?.models.length ? (
        <Section title="Models" note={String(probe.models.length)}>
          <Rows {...props} stale={stale} what="models">
            {probe.models.map(row => (
              <Model key={row.name} row={row} {...props} />
            ))}
          </Rows>
        </Section>
      ) : null}
    </>
  );
}

const sharing = (row: ITensorRow, rows: readonly ITensorRow[]): string[] =>
  rows.filter(other => other !== row && other.memory === row.memory).map(other => other.name);

function Rows(props: { stale: boolean; what: string; children: JSX.Element[] }): JSX.Element {
  const [all, setAll] = React.useState(false);
  const rows = all ? props.children : props.children.slice(0, ROWS);
  return (
    <>
      <ul className={`mlkit-List${props.stale ? ' mlkit-mod-stale' : ''}`} aria-label={props.what}>
        {rows}
      </ul>
      {props.children.length > ROWS ? (
        <button type="button" className="mlkit-More" onClick={() => setAll(!all)}>
          {all ? 'Show fewer' : `Show all ${props.children.length}`}
        </button>
      ) : null}
    </>
  );
}

/** What is said of the kernel above its names. */
function Words({ watch, title }: { watch: KernelWatch; title: string }): JSX.Element {
  const install = <code>%pip install &quot;mlkit[lab]&quot;</code>;
  switch (watch.situation) {
    case 'none':
      return <>Open a notebook or a console: the tensors of its kernel appear here.</>;
    case 'starting':
      return <>{title}: the kernel is starting…</>;
    case 'busy':
      return <>{title}: the kernel is busy{watch.probe ? '; this is how it stood before.' : '. It is asked when its cell has ended.'}</>;
    case 'dead':
      return <>{title}: the kernel has died. Restart it to go on.</>;
    case 'off':
      return <>Looking at the kernel is switched off in the settings of mlkit.</>;
    case 'missing':
      return <>{title}: mlkit is not installed in this kernel. Install it with {install}</>;
    case 'unused':
      return <>{title}: mlkit has not been imported here yet.</>;
    case 'old':
      return <>{title}: this kernel has another version of mlkit, which cannot be asked. Bring it up to date with <code>%pip install -U &quot;mlkit[lab]&quot;</code></>;
    case 'language':
      return <>{title}: this kernel does not speak Python.</>;
    case 'shown':
      return watch.probe?.tensors.length ? <>In {title}</> : <>{title}: no tensors among its names.</>;
  }
}

function Tensor(props: IProps & { row: ITensorRow; shared: string[] }): JSX.Element {
  const { row, standing, app, shared } = props;
  const [open, setOpen] = React.useState(false);
  const jump = async () => {
    const place = await standing.watch.madeAt(row.name);
    if (typeof place === 'string') {
      Notification.info(place, { autoClose: 5000 });
    } else {
      await goTo(app, standing.watch.panel, place, standing.state?.root ?? '');
    }
  };
  const marks = [
    row.type === 'Parameter' ? 'parameter' : '',
    row.gradient ? 'has gradient' : row.grad ? 'needs gradient' : '',
    row.view ? 'view' : '',
    shared.length ? `shares memory with ${shared.slice(0, 3).join(', ')}` : ''
  ].filter(Boolean);
  return (
    <li className="mlkit-Row">
      <div className="mlkit-Row-top">
        <button
          type="button"
          className="mlkit-Name"
          aria-expanded={open}
          title={open ? 'Hide its value' : 'Show its value'}
          onClick={() => setOpen(!open)}
        >
          {row.name}
        </button>
        <span className="mlkit-Shape">{shape(row.shape)}</span>
        {row.made ? <Tool icon={lineIcon} label={`Go to the line that made ${row.name}`} onClick={() => void jump()} /> : null}
      </div>
      <div className="mlkit-Quiet">{[row.dtype, row.device, bytes(row.bytes), ...marks].join(' · ')}</div>
      {open ? <Value name={row.name} {...props} /> : null}
    </li>
  );
}

function Model(props: IProps & { row: IModelRow }): JSX.Element {
  const { row } = props;
  const [open, setOpen] = React.useState(false);
  const facts = [
    `${row.whole ? '' : 'over '}${short(row.numbers)} numbers`,
    row.numbers > row.trainable ? `${short(row.trainable)} trained` : '',
    bytes(row.bytes),
    row.devices.join(', '),
    row.dtypes.join(', '),
    row.training ? 'training' : 'evaluating'
  ].filter(Boolean);
  return (
    <li className="mlkit-Row">
      <div className="mlkit-Row-top">
        <button
          type="button"
          className="mlkit-Name"
          aria-expanded={open}
          title={open ? 'Hide it' : 'Show it'}
          onClick={() => setOpen(!open)}
        >
          {row.name}
        </button>
        <span className="mlkit-Shape">{row.type}</span>
      </div>
      <div className="mlkit-Quiet">{facts.join(' · ')}</div>
      {open ? <Value name={row.name} {...props} /> : null}
    </li>
  );
}

/** A value as the kernel displays it, asked for by the click that opened it. */
function Value({ name, standing, rendermime }: IProps & { name: string }): JSX.Element {
  const host = React.useRef<HTMLDivElement>(null);
  const [trouble, setTrouble] = React.useState('');
  const probe = standing.watch.probe;
  React.useEffect(() => {
    let gone = false;
    let shown: Widget | null = null;
    void standing.watch.show(name).then(async answer => {
      if (gone || !host.current) {
        return;
      }
      if (typeof answer === 'string') {
        setTrouble(answer);
        return;
      }
      setTrouble('');
      const model = rendermime.createModel({ data: answer.data as never, trusted: true });
      const type = rendermime.preferredMimeType(model.data, 'any');
      if (!type) {
        setTrouble('It has no picture.');
        return;
      }
      const renderer = rendermime.createRenderer(type);
      await renderer.renderModel(model);
      if (gone || !host.current) {
        renderer.dispose();
        return;
      }
      host.current.replaceChildren();
      Widget.attach(renderer, host.current);
      shown = renderer;
    });
    return () => {
      gone = true;
      if (shown) {
        shown.dispose();
      }
    };
  }, [name, probe, standing, rendermime]);
  return (
    <div className="mlkit-Value" tabIndex={0} role="group" aria-label={`Value of ${name}`}>
      {trouble ? <p className="mlkit-Note">{trouble}</p> : null}
      <div ref={host} />
    </div>
  );
}

// --- memory -------------------------------------------------------------------------------------------------------

function Memory({ standing }: IProps): JSX.Element {
  const { state, watch } = standing;
  const memory = state?.memory ?? watch.probe?.memory ?? null;
  const gpus = state?.gpus ?? [];
  const held = watch.probe?.cuda ?? [];
  return (
    <Section title="Memory">
      <dl className="mlkit-Memory">
        <dt>Kernel {watch.panel ? <span className="mlkit-Quiet">{watch.panel.title.label}</span> : null}</dt>
        <dd>{watch.kernel ? bytes(memory) || 'not known' : 'no kernel'}</dd>
        {held.map(one => (
          <React.Fragment key={`held-${one.device}`}>
            <dt>
              Tensors on {one.device} <span className="mlkit-Quiet">{bytes(one.held)} held</span>
            </dt>
            <dd>{bytes(one.used)}</dd>
          </React.Fragment>
        ))}
        {gpus.map(gpu => (
          <React.Fragment key={gpu.device}>
            <dt>
              {gpu.device} <span className="mlkit-Quiet">{gpu.name}</span>
            </dt>
            <dd>
              {bytes(gpu.used)} of {bytes(gpu.total)}
              <meter min={0} max={gpu.total} value={gpu.used} aria-label={`Memory of ${gpu.device} in use`} />
            </dd>
          </React.Fragment>
        ))}
      </dl>
      {state && !gpus.length ? <p className="mlkit-Note">No NVIDIA GPU here: tensors are on the CPU.</p> : null}
    </Section>
  );
}
