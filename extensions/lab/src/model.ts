/** What the side panel and the status bar show: runs from the server, names from the kernel, and the settings. */
import { Notification } from '@jupyterlab/apputils';
import { ServerConnection } from '@jupyterlab/services';
import { Poll } from '@lumino/polling';
import { ISignal, Signal } from '@lumino/signaling';

import { KernelWatch } from './kernel.js';
import { fetchState, IRun, IServerState, renewed, sendCommand, ServerProblem } from './server.js';

export interface ISettings {
  probe: boolean;
  interval: number;
  runFolders: string[];
  statusBar: boolean;
}

export const DEFAULTS: ISettings = { probe: true, interval: 5, runFolders: [], statusBar: true };

/** With the panel closed only the status bar looks; and where nothing trains, nothing moves. */
const SELDOM = 2;

/** After something was asked of a run, or a cell has ended: what comes of it is looked for soon (milliseconds). */
const SOON = [300, 900, 2000];

export class Standing {
  constructor(serverSettings: ServerConnection.ISettings, watch: KernelWatch) {
    this._server = serverSettings;
    this.watch = watch;
    watch.changed.connect(() => {
      const kernel = watch.kernel?.id ?? null;
      if (kernel !== this._asked) {
        void this._poll.refresh();
      } else if (watch.running !== this._running) {
        this._soon(watch.running ? SOON.slice(2) : SOON.slice(0, 1)); // a cell may start a training, or end it
      }
      this._running = watch.running;
      this._pace();
      this._changed.emit();
    });
    document.addEventListener('visibilitychange', this._onSeen);
    this._poll = new Poll({
      name: 'mlkit:standing',
      auto: false,
      factory: () => this._fetch(),
      frequency: { interval: DEFAULTS.interval * 1000, backoff: true, max: 60_000 },
      standby: () => document.hidden || this._missing || !(this._open || this._settings.statusBar)
    });
    void this._poll.start();
  }

  readonly watch: KernelWatch;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get state(): IServerState | null {
    return this._state;
  }

  /** Why there is no newer state; empty when all is well. */
  get problem(): string {
    return this._problem;
  }

  get settings(): ISettings {
    return this._settings;
  }

  set settings(settings: ISettings) {
    this._settings = settings;
    this.watch.enabled = settings.probe;
    this._pace();
    void this._poll.refresh();
    this._changed.emit();
  }

  /** Whether the side panel is seen. */
  set open(open: boolean) {
    if (open !== this._open) {
      this._open = open;
      this.watch.open = open;
      this._pace();
      void this._poll.refresh();
    }
  }

  refresh(): void {
    this._missing = false;
    this.watch.refresh();
    void this._poll.refresh();
  }

  /** The training that is going on and spoke last. */
  get training(): IRun | null {
    const alive = (this._state?.runs ?? []).filter(run => run.alive);
    alive.sort((a, b) => (b.updated ?? 0) - (a.updated ?? 0));
    return alive[0] ?? null;
  }

  async send(run: IRun, command: string): Promise<void> {
    try {
      await sendCommand(this._server, run.id, command, this._settings.runFolders);
    } catch (error) {
      Notification.error(`${run.name}: ${error instanceof Error ? error.message : String(error)}`, { autoClose: 6000 });
    }
    this._soon(SOON);
  }

  dispose(): void {
    document.removeEventListener('visibilitychange', this._onSeen);
    this._soon([]);
    this._poll.dispose();
    Signal.clearData(this);
  }

  private _pace(): void {
    const lively = this._open && (this._running || this.training !== null);
    const interval = this._settings.interval * 1000 * (lively ? 1 : SELDOM);
    if (this._poll.frequency.interval !== interval) {
      this._poll.frequency = { interval, backoff: true, max: Math.max(60_000, interval) };
    }
  }

  /** Look after each of these times, too; those that were planned before are forgotten. */
  private _soon(times: readonly number[]): void {
    this._timers.forEach(timer => window.clearTimeout(timer));
    this._timers = times.map(time =>
      window.setTimeout(() => {
        if (!document.hidden && !this._missing && (this._open || this._settings.statusBar)) {
          void this._poll.refresh();
        }
      }, time)
    );
  }

  private readonly _onSeen = (): void => {
    if (!document.hidden) {
      this._soon([0]);
    }
  };

  private async _fetch(): Promise<void> {
    const kernel = (this._asked = this.watch.kernel?.id ?? null);
    try {
      const text = await fetchState(this._server, this._settings.runFolders, kernel);
      if (text === this._text && !this._problem) {
        return; // nothing has moved: nothing is drawn
      }
      this._state = renewed(JSON.parse(text) as IServerState, this._state);
      this._text = text;
      this._problem = '';
      this._pace();
    } catch (error) {
      this._missing = error instanceof ServerProblem && error.lasting;
      this._problem = error instanceof Error ? error.message : String(error);
      this._changed.emit();
      throw error; // the poll waits longer before its next try
    }
    this._changed.emit();
  }

  private readonly _server: ServerConnection.ISettings;
  private readonly _poll: Poll;
  private readonly _changed = new Signal<this, void>(this);
  private _settings = DEFAULTS;
  private _state: IServerState | null = null;
  private _problem = '';
  private _open = false;
  private _missing = false;
  private _asked: string | null = null;
  private _running = false;
  private _text = '';
  private _timers: number[] = [];
}
