/** A `.mlmodel.json` in the main area: the model builder's own view, in a document with Save and a dirty mark. */
import { Clipboard, Notification } from '@jupyterlab/apputils';
import { ABCWidgetFactory, DocumentRegistry, DocumentWidget } from '@jupyterlab/docregistry';
import { ServiceManager } from '@jupyterlab/services';
import { ToolbarButton } from '@jupyterlab/ui-components';
import { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { BuilderKernel } from './builder-kernel.js';
import { WidgetModel } from './widget-model.js';

/** Changes that follow one another within this time are written into the document together. */
const SETTLE = 120;

/** What the builder draws beside its canvas: bar and frame, in pixels. */
const FRAME = 44;
const LEAST = 420;

export class BuilderView extends Widget {
  constructor(
    context: DocumentRegistry.Context,
    services: ServiceManager.IManager,
    private readonly _newNotebook: (weights: boolean) => Promise<unknown>
  ) {
    super();
    this.addClass('mlkit-BuilderDocument');
    this._context = context;
    this._services = services;
    this._status.className = 'mlkit-BuilderStatus';
    this._status.setAttribute('role', 'status');
    this._host.className = 'mlkit-BuilderHost';
    this.node.append(this._status, this._host);
    this._host.addEventListener('focusin', () => this.node.classList.add('mlkit-mod-focused'));
    this._sizes = new ResizeObserver(() => this._fit());
    this._sizes.observe(this._host);
    void context.ready.then(() => this._start());
  }

  get model(): WidgetModel | null {
    return this._model;
  }

  /** Do a step of the builder: "undo", "redo", "arrange". */
  step(name: string): void {
    this._model?.send({ kind: 'step', id: --this._step, do: name, graph: null });
  }

  can(name: 'undo' | 'redo'): boolean {
    const history = this._model?.get('_history') as { undo?: string; redo?: string } | undefined;
    return Boolean(history?.[name]);
  }

  /** The model as Python, into the clipboard. */
  copyCode(): void {
    const code = (this._model?.get('_code') ?? {}) as { text?: string; missing?: string };
    if (code.text) {
      Clipboard.copyToSystem(code.text);
      Notification.success('The code of the model has been copied.', { autoClose: 2500 });
    } else {
      Notification.warning(code.missing || 'There is no code yet: the builder is starting.', { autoClose: 6000 });
    }
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    window.clearTimeout(this._timer);
    this._sizes.disconnect();
    this._context.model.sharedModel.changed.disconnect(this._onContent, this);
    this._close();
    super.dispose();
  }

  protected onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    const inside = this._host.querySelector<HTMLElement>('.mlkit-host');
    if (inside) {
      inside.focus({ preventScroll: true });
    } else {
      this.node.tabIndex = -1;
      this.node.focus();
    }
  }

  private async _start(again: BuilderKernel | null = null): Promise<void> {
    if (this.isDisposed) {
      return;
    }
    this._close(again !== null);
    const turn = ++this._turn;
    this._say(
      again
        ? 'The Python behind this document was restarted. It is opened again with what you built.'
        : 'Starting a Python of its own for this document: it works out shapes and code. Your notebooks are not used.'
    );
    const kernel = (this._kernel = again ?? new BuilderKernel(this._services, this._context.path));
    try {
      const { model, view } = await kernel.open(this._context.model.toString());
      if (turn !== this._turn || this.isDisposed) {
        return;
      }
      if (!again) {
        kernel.lost.connect((_, how) => {
          if (kernel !== this._kernel) {
            return;
          }
          if (how === 'restarted') {
            void this._start(kernel);
            return;
          }
          this._close();
          this._say('The Python behind this document has stopped. What you built is kept here.', 'Start it again');
        });
      }
      this._model = model;
      this._text = await kernel.text();
      model.intercept = content => this._take(content);
      model.on('change:_document', this._soon);
      const ended = await view.initialize?.({ model });
      this._fit();
      const left = await view.render({ model, el: this._host });
      this._end = () => {
        left?.();
        ended?.();
      };
      this._seen = this._context.model.toString();
      this._context.model.sharedModel.changed.connect(this._onContent, this);
      this._say('');
      this._host.title = '';
      this.node.dataset.state = 'ready';
    } catch (error) {
      if (turn === this._turn && !this.isDisposed) {
        this._close();
        this._say(error instanceof Error ? error.message : String(error), 'Try again', true);
      }
    }
  }

  private _close(keepKernel = false): void {
    this._turn++;
    this._context.model.sharedModel.changed.disconnect(this._onContent, this);
    this._end?.();
    this._end = null;
    this._host.replaceChildren();
    this._model = null;
    if (!keepKernel) {
      void this._kernel?.dispose();
      this._kernel = null;
    }
    this.node.dataset.state = 'closed';
  }

  private _say(words: string, again = '', wrong = false): void {
    this._status.replaceChildren();
    this._status.hidden = !words;
    this._status.classList.toggle('mlkit-mod-wrong', wrong);
    if (!words) {
      return;
    }
    const text = document.createElement('span');
    text.textContent = words;
    this._status.append(text);
    if (again) {
      const button = document.createElement('button');
      button.type = 'button';
      button.className = 'jp-Button jp-mod-styled jp-mod-accept';
      button.textContent = again;
      button.addEventListener('click', () => void this._start());
      this._status.append(button);
    }
  }

  // --- the document -----------------------------------------------------------------------------------------------

  /** The builder's own Save is JupyterLab's, and so is a notebook with what was trained. */
  private _take(content: Record<string, unknown>): boolean {
    if (content.kind !== 'step' || !['save', 'notebook'].includes(String(content.do))) {
      return false;
    }
    const reply = (ok: boolean, error = '') => this._model?.answer({ kind: 'reply', id: content.id, ok, error, path: this._context.path });
    const done = content.do === 'save' ? this.flush().then(() => this._context.save()) : this._newNotebook(true);
    void done.then(
      () => reply(true),
      error => reply(false, error instanceof Error ? error.message : String(error))
    );
    return true;
  }

  /** Write the weights into a file beside the document. */
  async keep(name: string): Promise<void> {
    if (!this._kernel) {
      throw new Error('The Python behind this document is not running.');
    }
    await this._kernel.keep(name);
  }

  private readonly _soon = (): void => {
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => void this.flush(), SETTLE);
  };

  /** Bring what was built into the document, which is then dirty. */
  async flush(): Promise<void> {
    window.clearTimeout(this._timer);
    const kernel = this._kernel;
    if (!kernel || !this._model) {
      return;
    }
    const text = await kernel.text().catch(() => null);
    if (text === null || text === this._text || kernel !== this._kernel) {
      return;
    }
    this._text = text;
    this._seen = text;
    this._context.model.fromString(text);
    this._context.model.dirty = true;
  }

  /** The text changed elsewhere: reverted, edited as text, saved by somebody else. */
  private _onContent(): void {
    const text = this._context.model.toString();
    const kernel = this._kernel;
    if (text === this._seen || !kernel) {
      return;
    }
    this._seen = text;
    void kernel
      .replace(text)
      .then(async () => {
        this._text = await kernel.text();
        this._say('');
      })
      .catch(error => this._say(`The file was changed, and cannot be shown: ${error instanceof Error ? error.message : error}`, '', true));
  }

  private _fit(): void {
    const height = Math.max(LEAST, Math.floor(this._host.clientHeight) - FRAME);
    this._model?.setHere('height', height);
  }

  private readonly _context: DocumentRegistry.Context;
  private readonly _services: ServiceManager.IManager;
  private readonly _status = document.createElement('div');
  private readonly _host = document.createElement('div');
  private readonly _sizes: ResizeObserver;
  private _kernel: BuilderKernel | null = null;
  private _model: WidgetModel | null = null;
  private _end: (() => void) | null = null;
  private _text = ''; // of the builder's document, as last known
  private _seen = ''; // of the file's model, as last known
  private _timer = 0;
  private _turn = 0;
  private _step = 0;
}

export type BuilderDocument = DocumentWidget<BuilderView>;

export class BuilderFactory extends ABCWidgetFactory<BuilderDocument> {
  constructor(
    options: DocumentRegistry.IWidgetFactoryOptions<BuilderDocument>,
    private readonly _services: ServiceManager.IManager,
    private readonly _newNotebook: (document: BuilderDocument, weights: boolean) => Promise<unknown>
  ) {
    super(options);
  }

  protected createNewWidget(context: DocumentRegistry.Context): BuilderDocument {
    const content: BuilderView = new BuilderView(context, this._services, weights => this._newNotebook(widget, weights));
    const widget: BuilderDocument = new DocumentWidget({ content, context });
    widget.toolbar.addItem('notebook', new ToolbarButton({
      label: 'New notebook from this model',
      onClick: () => void this._newNotebook(widget, false)
    })); // prettier-ignore
    widget.toolbar.addItem('copy', new ToolbarButton({ label: 'Copy as code', onClick: () => content.copyCode() }));
    return widget;
  }
}
