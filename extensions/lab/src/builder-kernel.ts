/**
 * The Python behind an open model document: a kernel of its own, started with the document and shut down with it. The
 * user's notebooks are not touched, and theirs may be busy.
 */
import { PathExt } from '@jupyterlab/coreutils';
import { Kernel, KernelMessage, ServiceManager, Session } from '@jupyterlab/services';
import { UUID } from '@lumino/coreutils';
import { ISignal, Signal } from '@lumino/signaling';

import { literal } from './words.js';
import { IViewModule, loadView, stateOf, WidgetModel } from './widget-model.js';

const TARGET = 'jupyter.widget';

/** How long a kernel that is being restarted may take, in milliseconds. */
const RESTART = 60_000;

/** A failure in words, and whether trying again may help. */
export class BuilderProblem extends Error {}

export class BuilderKernel {
  constructor(services: ServiceManager.IManager, path: string) {
    this._services = services;
    this._path = path;
  }

  /** Someone else has restarted the kernel ("restarted": open it again), or it is gone ("gone"). */
  get lost(): ISignal<this, 'restarted' | 'gone'> {
    return this._lost;
  }

  get model(): WidgetModel | null {
    return this._model;
  }

  get version(): string {
    return this._version;
  }

  /** Start Python unless it runs, open the document in it, and give the view that shows it. */
  async open(text: string): Promise<{ model: WidgetModel; view: IViewModule }> {
    this._model?.close();
    const kernel = this._session ? await this._awaited(this._session.kernel) : await this._begin();
    const opened = new Promise<WidgetModel>(resolve => {
      kernel.registerCommTarget(TARGET, (comm: Kernel.IComm, message: KernelMessage.ICommOpenMsg) => {
        const state = stateOf(message);
        if (typeof state._esm === 'string' && '_document' in state) {
          resolve(new WidgetModel(comm, state));
        }
      });
    });
    const name = PathExt.basename(this._path).replace(/\.mlmodel\.json$/, '');
    const answer = await this._call(`open(${literal(text)}, ${literal(name)})`);
    this._version = String(answer.version ?? '');
    const model = (this._model = await opened);
    const view = await loadView(model.get('_esm') as string);
    this._ready = true;
    return { model, view };
  }

  private async _begin(): Promise<Kernel.IKernelConnection> {
    await this._services.ready;
    const name = pythonKernel(this._services);
    const folder = PathExt.dirname(this._path);
    this._session = await this._services.sessions.startNew({
      name: 'mlkit model builder',
      path: PathExt.join(folder, `.mlkit-builder-${UUID.uuid4()}`),
      type: 'mlkit model builder',
      kernel: { name }
    });
    const kernel = this._session.kernel!;
    // Nothing else runs here that a message would have to get past; and a subshell is not there any more after a restart,
    // while JupyterLab goes on sending to it.
    (kernel as { commsOverSubshells?: unknown }).commsOverSubshells = 'disabled';
    kernel.statusChanged.connect(this._onStatus, this);
    kernel.iopubMessage.connect(this._onMessage, this);
    kernel.disposed.connect(() => this._onStatus(kernel, 'dead')); // shut down from the list of running kernels
    await kernel.info;
    return kernel;
  }

  /**
   * A kernel that was restarted, once it answers. Its channels are opened anew: the server then waits until what the
   * kernel publishes arrives, while a message through the old ones may be lost.
   */
  private async _awaited(kernel: Kernel.IKernelConnection | null): Promise<Kernel.IKernelConnection> {
    if (!kernel || kernel.isDisposed) {
      throw new BuilderProblem('The Python behind this document is gone.');
    }
    const late = new Promise<never>((_, reject) =>
      window.setTimeout(() => reject(new BuilderProblem('The Python behind this document was restarted and does not answer.')), RESTART)
    );
    await Promise.race([kernel.reconnect().then(() => kernel.requestKernelInfo()), late]);
    return kernel;
  }

  /** The document as it would be saved. */
  async text(): Promise<string> {
    return String((await this._call('text()')).text);
  }

  /** Take a document that was changed elsewhere, as a step that can be undone. */
  async replace(text: string): Promise<void> {
    await this._call(`replace(${literal(text)})`);
  }

  /** Write the weights of the model into a file beside the document. */
  async keep(name: string): Promise<void> {
    await this._call(`keep(${literal(name)})`);
  }

  async dispose(): Promise<void> {
    if (this._disposed) {
      return;
    }
    this._disposed = true;
    this._model?.close();
    Signal.clearData(this);
    const session = this._session;
    if (session && !session.isDisposed) {
      session.kernel?.statusChanged.disconnect(this._onStatus, this);
      session.kernel?.iopubMessage.disconnect(this._onMessage, this);
      await session.shutdown().catch(() => undefined); // it may be gone already
      session.dispose();
    }
  }

  /** Call a function of mlkit_widgets.lab and give its answer. */
  private async _call(call: string): Promise<Record<string, unknown>> {
    const kernel = this._session?.kernel;
    if (!kernel || kernel.isDisposed) {
      throw new BuilderProblem('The Python behind this document is gone.');
    }
    const [name, rest] = [call.slice(0, call.indexOf('(')), call.slice(call.indexOf('('))];
    const future = kernel.requestExecute(
      {
        code: '',
        silent: true,
        store_history: false,
        allow_stdin: false,
        user_expressions: { answer: `__import__('mlkit_widgets.lab', fromlist=['lab']).${name}${rest}` }
      },
      true
    );
    const reply = await future.done;
    this._process = reply.header.session;
    const found = (reply.content.status === 'ok' ? reply.content.user_expressions.answer : null) as {
      status: string;
      ename?: string;
      evalue?: string;
      data?: Record<string, unknown>;
    } | null;
    if (found?.status === 'ok') {
      return (found.data?.['application/json'] ?? {}) as Record<string, unknown>;
    }
    if (found?.ename === 'ModuleNotFoundError') {
      const what = /No module named '([^'.]+)/.exec(found.evalue ?? '')?.[1] ?? 'mlkit';
      throw new BuilderProblem(
        `${what.startsWith('mlkit') ? 'mlkit' : `mlkit's notebook part (${what})`} is not installed in the Python of the kernel "${kernel.name}". ` +
          'Install it there with: pip install "mlkit[lab]" — then try again.'
      );
    }
    throw new BuilderProblem(found?.evalue || 'The Python behind this document did not answer.');
  }

  private _onStatus(_: Kernel.IKernelConnection, status: Kernel.Status): void {
    if (!this._ready || this._disposed) {
      return;
    }
    if (['autorestarting', 'restarting'].includes(status)) {
      this._lose('restarted');
    } else if (['dead', 'terminating'].includes(status)) {
      this._lose('gone');
    }
  }

  /**
   * Another page or program may have restarted the kernel. It says so as it ends, and the new process names its messages
   * by another session; each alone may be missed, as the server's channel to the new process is not open at once.
   */
  private _onMessage(_: Kernel.IKernelConnection, message: KernelMessage.IIOPubMessage): void {
    const { header, content } = message;
    const restarts = (header.msg_type as string) === 'shutdown_reply' && 'restart' in content && content.restart === true;
    if (restarts || header.session !== this._process) {
      this._lose('restarted');
    }
  }

  private _lose(how: 'restarted' | 'gone'): void {
    if (this._ready && !this._disposed) {
      this._ready = false;
      this._lost.emit(how);
    }
  }

  private readonly _services: ServiceManager.IManager;
  private readonly _path: string;
  private readonly _lost = new Signal<this, 'restarted' | 'gone'>(this);
  private _session: Session.ISessionConnection | null = null;
  private _model: WidgetModel | null = null;
  private _version = '';
  private _process = '';
  private _ready = false;
  private _disposed = false;
}

/** The default kernel when it speaks Python, else the first that does. */
function pythonKernel(services: ServiceManager.IManager): string {
  const specs = services.kernelspecs.specs;
  const known = Object.values(specs?.kernelspecs ?? {}).filter(spec => spec?.language.toLowerCase() === 'python');
  const found = known.find(spec => spec!.name === specs?.default) ?? known[0];
  if (!found) {
    throw new BuilderProblem('This Jupyter server has no Python kernel, which the model builder needs: pip install ipykernel');
  }
  return found.name;
}
