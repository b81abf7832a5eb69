/** What the side panel and the status bar show: runs from the server, names from the kernel, and the settings. */
import { Notification } from '@jupyterlab/apputils';
import { ServerConnection } from '@jupyterlab/services';
import { Poll } from '@lumino/polling';
import { ISignal, Signal } from '@lumino/signaling';

import { KernelWatch } from './kernel.js';
import { fetchState, IRun, IServerState, sendCommand, ServerProblem } from './server.js';

export interface ISettings {
  probe: boolean;
  interval: number;
  runFolders: string[];
  statusBar: boolean;
}

export const DEFAULTS: ISettings = { probe: true, interval: 2, runFolders: [], statusBar: true };

/** With the panel closed only the status bar looks. */
const SELDOM = 5;

export class Standing {
  constructor(serverSettings: ServerConnection.ISettings, watch: KernelWatch) {
    this._server = serverSettings;
    this.watch = watch;
    watch.changed.connect(() => {
      const kernel = watch.kernel?.id ?? null;
      if (kernel !== this._asked) {
        void this._poll.refresh();
      }
      this._changed.emit();
    });
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
    void this._poll.refresh();
  }

  dispose(): void {
    this._poll.dispose();
    Signal.clearData(this);
  }

  private _pace(): void {
    const interval = this._settings.interval * 1000 * (this._open ? 1 : SELDOM);
    this._poll.frequency = { interval, backoff: true, max: Math.max(60_000, interval) };
  }

  private async _fetch(): Promise<void> {
    const kernel = (this._asked = this.watch.kernel?.id ?? null);
    try {
      this._state = await fetchState(this._server, this._settings.runFolders, kernel);
      this._problem = '';
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
}
