/**
 * A widget of the kernel shown outside a notebook: the comm messages of Jupyter's widgets on one side, and on the other
 * the small model that a widget's own view talks to.
 */
import { Kernel, KernelMessage } from '@jupyterlab/services';
import { JSONObject, JSONValue } from '@lumino/coreutils';

type Callback = (...args: unknown[]) => void;

type State = Record<string, unknown>;

export interface IViewModule {
  initialize?(options: { model: WidgetModel }): void | (() => void) | Promise<void | (() => void)>;
  render(options: { model: WidgetModel; el: HTMLElement }): void | (() => void) | Promise<void | (() => void)>;
}

export class WidgetModel {
  constructor(comm: Kernel.IComm, state: State) {
    this._comm = comm;
    this._state = state;
    comm.onMsg = message => this._receive(message);
  }

  /** Asked before a message leaves; true when it has been answered here. */
  intercept: ((content: Record<string, unknown>) => boolean) | null = null;

  get(name: string): unknown {
    return this._state[name];
  }

  /** Set a value here; `save_changes` tells the kernel. */
  set(name: string, value: unknown): void {
    this._state[name] = value;
    this._changed.add(name);
    this._emit(`change:${name}`);
  }

  /** Set a value that is this page's own matter. */
  setHere(name: string, value: unknown): void {
    if (this._state[name] !== value) {
      this._state[name] = value;
      this._emit(`change:${name}`);
    }
  }

  save_changes(): void {
    const state = Object.fromEntries([...this._changed].map(name => [name, this._state[name]]));
    this._changed.clear();
    this._post({ method: 'update', state: state as JSONObject, buffer_paths: [] });
  }

  send(content: unknown, _callbacks?: unknown, buffers: ArrayBuffer[] = []): void {
    if (!this.intercept?.(content as Record<string, unknown>)) {
      this._post({ method: 'custom', content: content as JSONValue }, buffers);
    }
  }

  /** What a message of the kernel would bring. */
  answer(content: unknown): void {
    this._emit('msg:custom', content, []);
  }

  on(name: string, callback: Callback): void {
    const known = this._listeners.get(name) ?? new Set();
    this._listeners.set(name, known.add(callback));
  }

  off(name: string, callback?: Callback): void {
    if (callback) {
      this._listeners.get(name)?.delete(callback);
    } else {
      this._listeners.delete(name);
    }
  }

  /** The view may still speak when its kernel is gone; nobody listens then. */
  close(): void {
    this._closed = true;
    this._listeners.clear();
  }

  private _post(data: JSONObject, buffers: ArrayBuffer[] = []): void {
    if (this._closed || this._comm.isDisposed) {
      return;
    }
    this._comm.send(data, {}, buffers, true);
  }

  private _receive(message: KernelMessage.ICommMsgMsg): void {
    const data = message.content.data as Record<string, unknown>;
    const buffers = (message.buffers ?? []).map(view);
    if (data.method === 'custom') {
      this._emit('msg:custom', data.content, buffers);
    } else if (data.method === 'update') {
      const state = withBuffers(data.state as State, data.buffer_paths, buffers);
      for (const [name, value] of Object.entries(state)) {
        this._state[name] = value;
      }
      for (const name of Object.keys(state)) {
        this._emit(`change:${name}`);
      }
      this._emit('change');
    }
  }

  private _emit(name: string, ...args: unknown[]): void {
    for (const callback of [...(this._listeners.get(name) ?? [])]) {
      callback(...args);
    }
  }

  private readonly _comm: Kernel.IComm;
  private readonly _state: State;
  private readonly _changed = new Set<string>();
  private readonly _listeners = new Map<string, Set<Callback>>();
  private _closed = false;
}

const view = (buffer: ArrayBuffer | ArrayBufferView): DataView =>
  buffer instanceof ArrayBuffer ? new DataView(buffer) : new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);

/** Put what travelled beside a state back into its places. */
export function withBuffers(state: State, paths: unknown, buffers: DataView[]): State {
  (Array.isArray(paths) ? (paths as (string | number)[][]) : []).forEach((path, i) => {
    const last = path[path.length - 1];
    let at = state as Record<string | number, unknown>;
    for (const step of path.slice(0, -1)) {
      at = at[step] as Record<string | number, unknown>;
    }
    at[last] = buffers[i];
  });
  return state;
}

/** The state with which the kernel opened a model. */
export function stateOf(message: KernelMessage.ICommOpenMsg): State {
  const data = message.content.data as { state?: State; buffer_paths?: unknown };
  return withBuffers(data.state ?? {}, data.buffer_paths, (message.buffers ?? []).map(view));
}

/** The view that came with a model: mlkit's own script, from the kernel's installation. */
export async function loadView(source: string): Promise<IViewModule> {
  const address = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  try {
    const module = await import(/* webpackIgnore: true */ address);
    return typeof module.default === 'function' ? await module.default() : module.default;
  } finally {
    URL.revokeObjectURL(address);
  }
}
