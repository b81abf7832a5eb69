/** The kernel of the notebook or console that is in front: one silent, quick look at its names, and only when it is idle. */
import { JupyterFrontEnd } from '@jupyterlab/application';
import { ISessionContext } from '@jupyterlab/apputils';
import { Kernel, KernelMessage } from '@jupyterlab/services';
import { ISignal, Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { literal } from './words.js';

export interface ITensorRow {
  name: string;
  type: string;
  shape: number[];
  dtype: string;
  device: string;
  bytes: number;
  grad: boolean;
  gradient: boolean;
  made: boolean;
  memory: number;
  view: boolean;
}

export interface IModelRow {
  name: string;
  type: string;
  numbers: number;
  trainable: number;
  bytes: number;
  devices: string[];
  dtypes: string[];
  training: boolean;
  whole: boolean;
}

export interface IProbe {
  format: number;
  tensors: ITensorRow[];
  models: IModelRow[];
  more: number;
  memory: number | null;
  cuda: { device: string; used: number; held: number }[];
  version: string;
}

export interface IPlace {
  file: string;
  line: number;
  code: string;
  function: string;
  cell?: number;
}

/** What is known of the kernel: "shown" has a probe; the others say why there is none, or none newer. */
export type Situation =
  | 'none' // no notebook or console with a kernel is in front
  | 'starting'
  | 'busy'
  | 'dead'
  | 'off' // by the settings
  | 'missing' // no mlkit in the kernel
  | 'unused' // mlkit is there, the program has not imported it
  | 'old' // mlkit of a version that cannot be asked
  | 'language' // not Python
  | 'shown';

/** A widget of the main area that has a kernel: a notebook panel, a console panel. */
export interface IKernelPanel extends Widget {
  sessionContext: ISessionContext;
}

/** After a cell has ended others of the same Run All follow within milliseconds: only a kernel that rests is asked. */
const REST = 250;

/** Nothing is imported that the program has not imported: find_spec looks for the file alone. */
const PROBE =
  "__import__('mlkit.lab.probing', fromlist=['probe']).probe() if 'mlkit' in __import__('sys').modules " +
  "else __import__('importlib.util', fromlist=['util']).find_spec('mlkit') is not None";

const of = (widget: Widget | null): IKernelPanel | null =>
  widget && 'sessionContext' in widget && (widget as IKernelPanel).sessionContext ? (widget as IKernelPanel) : null;

export class KernelWatch {
  constructor(app: JupyterFrontEnd) {
    this._app = app;
    app.shell.currentChanged?.connect(this._look, this);
    void app.restored.then(() => this._look());
  }

  /** Something that is shown has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get panel(): IKernelPanel | null {
    return this._panel;
  }

  get kernel(): Kernel.IKernelConnection | null {
    return this._kernel;
  }

  get probe(): IProbe | null {
    return this._probe;
  }

  /** Whether a cell is being run; messages of widgets make a kernel busy, too. */
  get running(): boolean {
    return this._running;
  }

  get situation(): Situation {
    const kernel = this._kernel;
    if (!this._panel || !kernel) {
      return 'none';
    }
    if (['dead', 'autorestarting'].includes(kernel.status)) {
      return 'dead';
    }
    if (['starting', 'restarting', 'unknown'].includes(kernel.status) || kernel.connectionStatus !== 'connected') {
      return 'starting';
    }
    if (!this._enabled) {
      return 'off';
    }
    if (kernel.status === 'busy' && !this._asking) {
      return 'busy';
    }
    return this._found;
  }

  /** Whether the kernel may be asked: the panel is seen, and the settings allow it. */
  set open(open: boolean) {
    if (open !== this._open) {
      this._open = open;
      if (open) {
        this._stale = true;
        this._soon();
      }
    }
  }

  set enabled(enabled: boolean) {
    if (enabled !== this._enabled) {
      this._enabled = enabled;
      this._stale = true;
      this._changed.emit();
      this._soon();
    }
  }

  /** Look again, for the user asked. */
  refresh(): void {
    this._stale = true;
    this._soon(0);
  }

  /** The value of a name as the kernel displays it; null when the kernel is busy, a text when it is gone. */
  async show(name: string): Promise<{ data: Record<string, unknown> } | string> {
    const answer = await this._evaluate(`get_ipython().user_ns[${literal(name)}]`);
    return typeof answer === 'string' ? answer : { data: answer };
  }

  async madeAt(name: string): Promise<IPlace | string> {
    const answer = await this._evaluate(
      `__import__('mlkit.lab.probing', fromlist=['made_at']).made_at(${literal(name)})`
    );
    if (typeof answer === 'string') {
      return answer;
    }
    const place = answer['application/json'] as Partial<IPlace> | undefined;
    return place?.line ? (place as IPlace) : `It is not known which line made ${name}.`;
  }

  private async _evaluate(expression: string): Promise<Record<string, unknown> | string> {
    const kernel = this._kernel;
    if (!kernel || kernel.status !== 'idle') {
      return 'The kernel is busy. Ask again when its cell has ended.';
    }
    this._asking = true;
    try {
      const reply = await request(kernel, expression);
      return reply.status === 'ok' ? reply.data : `${reply.ename}: ${reply.evalue}`;
    } catch {
      return 'The kernel has been restarted or shut down.';
    } finally {
      this._asking = false;
    }
  }

  private _look(): void {
    const found = of(this._app.shell.currentWidget);
    // What has no kernel (a text file, the builder) leaves the last notebook in view, for as long as it is open.
    if (found && found !== this._panel) {
      this._leave();
      this._panel = found;
      found.sessionContext.kernelChanged.connect(this._meet, this);
      found.disposed.connect(this._leave, this);
      this._meet();
    }
  }

  private _leave(): void {
    const panel = this._panel;
    if (panel) {
      panel.disposed.disconnect(this._leave, this);
      panel.sessionContext?.kernelChanged.disconnect(this._meet, this);
    }
    this._panel = null;
    this._meet();
  }

  private _meet(): void {
    const kernel = this._panel?.sessionContext?.session?.kernel ?? null;
    if (kernel !== this._kernel) {
      this._kernel?.statusChanged.disconnect(this._onStatus, this);
      this._kernel?.iopubMessage.disconnect(this._onMessage, this);
      this._kernel = kernel;
      kernel?.statusChanged.connect(this._onStatus, this);
      kernel?.iopubMessage.connect(this._onMessage, this);
      this._forget();
    }
    this._changed.emit();
    this._soon();
  }

  private _forget(): void {
    this._running = false;
    this._probe = null;
    this._found = 'starting';
    this._stale = true;
    this._asking = false;
    this._turn++;
  }

  private _onStatus(_: Kernel.IKernelConnection, status: Kernel.Status): void {
    if (['restarting', 'autorestarting', 'dead', 'starting'].includes(status)) {
      this._forget();
    }
    this._running &&= status !== 'idle';
    if (!this._asking) {
      this._changed.emit();
    }
    if (status === 'idle') {
      this._soon();
    } else {
      window.clearTimeout(this._timer);
    }
  }

  /** A cell has been run, by whatever page: names may have changed. Our own silent requests do not come by here. */
  private _onMessage(_: Kernel.IKernelConnection, message: KernelMessage.IIOPubMessage): void {
    if (message.header.msg_type === 'execute_input') {
      this._stale = true;
      this._running = true;
      this._changed.emit();
    }
  }

  private _soon(wait = REST): void {
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => void this._ask(), wait);
  }

  private async _ask(): Promise<void> {
    const kernel = this._kernel;
    if (!kernel || !this._open || !this._enabled || !this._stale || this._asking) {
      return;
    }
    if (kernel.status !== 'idle' || kernel.connectionStatus !== 'connected') {
      return; // a change of its status brings us back
    }
    const turn = ++this._turn;
    this._stale = false;
    this._asking = true;
    try {
      const info = await kernel.info;
      if (turn !== this._turn) {
        return;
      }
      if (info.language_info.name !== 'python') {
        this._found = 'language';
        return;
      }
      const reply = await request(kernel, PROBE);
      if (turn !== this._turn) {
        return;
      }
      this._take(reply);
    } catch {
      this._stale = true; // restarted meanwhile; its new status brings us back
    } finally {
      if (turn === this._turn) {
        this._asking = false;
        this._changed.emit();
      }
    }
  }

  private _take(reply: Evaluated): void {
    this._probe = null;
    if (reply.status !== 'ok') {
      this._found = 'old';
      return;
    }
    const found = reply.data['application/json'] as IProbe | undefined;
    if (found?.format === 1) {
      this._probe = found;
      this._found = 'shown';
    } else {
      this._found = found ? 'old' : reply.data['text/plain'] === 'True' ? 'unused' : 'missing';
    }
  }

  private readonly _app: JupyterFrontEnd;
  private readonly _changed = new Signal<this, void>(this);
  private _panel: IKernelPanel | null = null;
  private _kernel: Kernel.IKernelConnection | null = null;
  private _probe: IProbe | null = null;
  private _found: Situation = 'starting';
  private _open = false;
  private _enabled = true;
  private _stale = true;
  private _asking = false;
  private _running = false;
  private _turn = 0;
  private _timer = 0;
}

type Evaluated =
  | { status: 'ok'; data: Record<string, unknown> }
  | { status: 'error'; ename: string; evalue: string };

/** Evaluate one expression: silent, outside the history, no cell's number used up, nothing printed, nothing stopped. */
async function request(kernel: Kernel.IKernelConnection, expression: string): Promise<Evaluated> {
  const future = kernel.requestExecute(
    {
      code: '',
      silent: true,
      store_history: false,
      allow_stdin: false,
      stop_on_error: false,
      user_expressions: { answer: expression }
    },
    true
  );
  const reply = await future.done;
  if (reply.content.status !== 'ok') {
    return { status: 'error', ename: 'KernelError', evalue: 'The kernel did not answer.' };
  }
  return reply.content.user_expressions.answer as unknown as Evaluated;
}
