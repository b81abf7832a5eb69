import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { DocumentRegistry, IDocumentWidget } from '@jupyterlab/docregistry';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Panel, Widget } from '@lumino/widgets';

/**
 * The last picture of a widget, for as long as there is no live view.
 *
 * A notebook file keeps a widget as a reference into the kernel. Without a kernel JupyterLab shows "Error displaying
 * widget". Outputs of mlkit's widgets carry a mark, a reference and an SVG: this renderer takes the mark, shows the SVG
 * at once, hands the reference to the widgets extension, and puts the live view in the SVG's place when it has come.
 * Views tell by a bubbling DOM event that they live and what their newest picture is; it is stored in the output.
 */
const MARK = 'application/vnd.mlkit.widget+json';
const VIEW = 'application/vnd.jupyter.widget-view+json';
const PICTURE = 'image/svg+xml';

/** The widgets extension registers its renderer at -10; lower is preferred. */
const RANK = -20;

const asText = (value: unknown): string =>
  typeof value === 'string' ? value : Array.isArray(value) ? value.join('') : '';

class LastPicture extends Panel implements IRenderMime.IRenderer {
  constructor(rendermime: IRenderMimeRegistry) {
    super();
    this._rendermime = rendermime;
    this._image.style.maxWidth = '100%';
    this._still.node.append(this._image);
    this.addWidget(this._still);
    this.node.addEventListener('mlkit:view', event => {
      this._alive = true;
      this._still.hide();
      this._keep((event as CustomEvent<{ picture: string | null }>).detail.picture);
    });
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this._model = model;
    const svg = asText(model.data[PICTURE]);
    if (svg) {
      // An <img> runs no scripts, so the picture may be shown in a notebook that is not trusted.
      this._image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
      this._image.alt = asText(model.data['text/plain']);
    }
    const id = (model.data[VIEW] as { model_id?: string } | undefined)?.model_id;
    if (id && id !== this._id && model.trusted) {
      this._id = id;
      this._factory = undefined;
      this._alive = false;
      this._still.show();
      this._seek(model);
    }
  }

  dispose(): void {
    window.clearTimeout(this._timer);
    super.dispose();
  }

  /**
   * Ask the widgets extension for the live view. A notebook that is opened is drawn before that extension knows the
   * notebook's kernel: what it gives until then never comes alive, so ask again when it has put another factory there.
   */
  private _seek(model: IRenderMime.IMimeModel): void {
    if (this._alive || this.isDisposed) {
      return;
    }
    const factory = this._rendermime.getFactory(VIEW);
    if (factory && factory !== this._factory) {
      this._factory = factory;
      this._live?.dispose();
      const live = (this._live = this._rendermime.createRenderer(VIEW));
      // Kept out of sight until a view says that it lives: without one it would only show an error.
      live.node.style.display = 'none';
      live.node.addEventListener('mlkit:view', () => {
        live.node.style.display = '';
      });
      this.addWidget(live);
      void live.renderModel(model);
    }
    this._timer = window.setTimeout(() => this._seek(model), 300);
  }

  private _keep(picture: string | null): void {
    const model = this._model;
    if (picture && model && asText(model.data[PICTURE]) !== picture) {
      model.setData({ data: { ...model.data, [PICTURE]: picture } });
    }
  }

  private readonly _rendermime: IRenderMimeRegistry;
  private readonly _still = new Widget();
  private readonly _image = document.createElement('img');
  private _live: (Widget & IRenderMime.IRenderer) | null = null;
  private _model: IRenderMime.IMimeModel | null = null;
  private _id: string | null = null;
  private _alive = false;
  private _factory: IRenderMime.IRendererFactory | undefined;
  private _timer = 0;
}

/** Each notebook has its own registry of renderers, for its widgets belong to its kernel. */
class PictureExtension implements DocumentRegistry.WidgetExtension {
  createNew(panel: IDocumentWidget): void {
    const rendermime = (panel.content as unknown as { rendermime: IRenderMimeRegistry }).rendermime;
    rendermime.addFactory(
      { safe: true, mimeTypes: [MARK], defaultRank: RANK, createRenderer: () => new LastPicture(rendermime) },
      RANK
    );
  }
}

const picture: JupyterFrontEndPlugin<void> = {
  id: 'mlkit-lab:picture',
  description: 'Shows the last picture of a widget in a notebook without a kernel.',
  autoStart: true,
  activate: (app: JupyterFrontEnd) => {
    app.docRegistry.addWidgetExtension('Notebook', new PictureExtension());
  }
};

export default picture;
