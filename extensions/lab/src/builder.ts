/** The plugin of the model builder: its file type, document, launcher card, commands and context menu. */
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, showErrorMessage, WidgetTracker } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { Contents } from '@jupyterlab/services';

import { BuilderDocument, BuilderFactory } from './builder-document.js';
import { networkIcon } from './icon.js';
import { freeName, modelNotebook } from './notebook.js';

const FACTORY = 'Model Builder';
const TYPE = 'mlmodel';
const ENDING = '.mlmodel.json';

namespace CommandIDs {
  export const create = 'mlkit:new-model';
  export const notebook = 'mlkit:notebook-from-model';
  export const copy = 'mlkit:copy-model-code';
  export const undo = 'mlkit:builder-undo';
  export const redo = 'mlkit:builder-redo';
  export const arrange = 'mlkit:builder-arrange';
}

const builder: JupyterFrontEndPlugin<void> = {
  id: 'mlkit-lab:builder',
  description: 'Opens .mlmodel.json in the model builder.',
  autoStart: true,
  optional: [ILauncher, ICommandPalette, IDefaultFileBrowser, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    launcher: ILauncher | null,
    palette: ICommandPalette | null,
    browser: IDefaultFileBrowser | null,
    restorer: ILayoutRestorer | null
  ) => {
    const { commands, docRegistry, serviceManager, shell } = app;
    const contents = serviceManager.contents;
    const tracker = new WidgetTracker<BuilderDocument>({ namespace: 'mlkit-builder' });

    docRegistry.addFileType({
      name: TYPE,
      displayName: 'mlkit model',
      extensions: [ENDING],
      mimeTypes: ['application/json'],
      fileFormat: 'text',
      contentType: 'file',
      icon: networkIcon
    });
    const factory = new BuilderFactory(
      { name: FACTORY, label: FACTORY, fileTypes: [TYPE], defaultFor: [TYPE], modelName: 'text' },
      serviceManager,
      (document, weights) => commands.execute(CommandIDs.notebook, { path: document.context.path, weights })
    );
    factory.widgetCreated.connect((_, widget) => {
      widget.title.icon = networkIcon;
      void tracker.add(widget);
      widget.context.pathChanged.connect(() => void tracker.save(widget));
    });
    docRegistry.addWidgetFactory(factory);
    if (restorer) {
      void restorer.restore(tracker, {
        command: 'docmanager:open',
        args: widget => ({ path: widget.context.path, factory: FACTORY }),
        name: widget => widget.context.path
      });
    }

    const current = (): BuilderDocument | null =>
      tracker.currentWidget && tracker.currentWidget === shell.currentWidget ? tracker.currentWidget : null;
    const names = async (folder: string): Promise<string[]> =>
      (await contents.get(folder, { content: true })).content.map((item: Contents.IModel) => item.name);
    const failed = (title: string, folder: string, error: unknown) =>
      showErrorMessage(
        title,
        `Nothing could be written into the folder "${folder || '/'}": ${error instanceof Error ? error.message : String(error)}. Choose another folder in the file browser and try again.`
      );

    commands.addCommand(CommandIDs.create, {
      label: args => (args.isPalette ? 'New Model in the Model Builder' : 'Model Builder'),
      caption: 'Build a network from blocks: shapes as you go, Python at the end',
      icon: args => (args.isPalette ? undefined : networkIcon),
      execute: async args => {
        const folder = typeof args.cwd === 'string' ? args.cwd : (browser?.model.path ?? '');
        try {
          const path = PathExt.join(folder, freeName(await names(folder), 'model', ENDING));
          await contents.save(path, { type: 'file', format: 'text', content: '' });
          return await commands.execute('docmanager:open', { path, factory: FACTORY });
        } catch (error) {
          await failed('The model could not be made', folder, error);
          return undefined;
        }
      }
    });

    /** The model that a command is meant for: the one named, the one right-clicked in the file browser, the one in front. */
    const pathOf = (args: { path?: unknown }): string | null => {
      if (typeof args.path === 'string') {
        return args.path;
      }
      const document = current();
      if (document) {
        return document.context.path;
      }
      const chosen = [...(browser?.selectedItems() ?? [])].find(item => item.path.endsWith(ENDING));
      return chosen?.path ?? null;
    };
    commands.addCommand(CommandIDs.notebook, {
      label: args => (args.isPalette ? 'New Notebook from This Model' : 'New notebook from this model'),
      caption: 'A notebook beside the model that loads it, shows its code and runs it',
      isVisible: args => Boolean(args.isPalette) || [...(browser?.selectedItems() ?? [])].some(item => item.path.endsWith(ENDING)),
      isEnabled: args => typeof args.path === 'string' || pathOf(args) !== null,
      execute: async args => {
        const model = pathOf(args);
        if (!model) {
          return undefined;
        }
        const folder = PathExt.dirname(model);
        const file = PathExt.basename(model);
        try {
          const open = tracker.find(widget => widget.context.path === model);
          await open?.content.flush();
          if (open?.context.model.dirty) {
            await open.context.save(); // the notebook loads the file
          }
          const stem = file.slice(0, -ENDING.length);
          const weights = args.weights && open ? freeName(await names(folder), `${stem}-weights`, '.safetensors') : '';
          if (weights) {
            await open!.content.keep(weights);
          }
          const path = PathExt.join(folder, freeName(await names(folder), stem));
          await contents.save(path, { type: 'notebook', format: 'json', content: modelNotebook(file, weights) });
          return await commands.execute('docmanager:open', { path, factory: 'Notebook', kernel: { name: 'python3' } });
        } catch (error) {
          await failed('The notebook could not be made', folder, error);
          return undefined;
        }
      }
    });

    const inBuilder = { isEnabled: () => current()?.content.model !== null && current() !== null };
    commands.addCommand(CommandIDs.copy, {
      label: 'Copy the Model as Code',
      ...inBuilder,
      execute: () => current()?.content.copyCode()
    });
    commands.addCommand(CommandIDs.undo, {
      label: 'Undo in the Model Builder',
      isEnabled: () => current()?.content.can('undo') ?? false,
      execute: () => current()?.content.step('undo')
    });
    commands.addCommand(CommandIDs.redo, {
      label: 'Redo in the Model Builder',
      isEnabled: () => current()?.content.can('redo') ?? false,
      execute: () => current()?.content.step('redo')
    });
    commands.addCommand(CommandIDs.arrange, {
      label: 'Arrange the Blocks of the Model',
      ...inBuilder,
      execute: () => current()?.content.step('arrange')
    });
    tracker.currentChanged.connect(() => commands.notifyCommandChanged());

    for (const command of [CommandIDs.create, CommandIDs.notebook]) {
      palette?.addItem({ command, category: 'mlkit', args: { isPalette: true } });
    }
    for (const command of [CommandIDs.copy, CommandIDs.undo, CommandIDs.redo, CommandIDs.arrange]) {
      palette?.addItem({ command, category: 'mlkit' });
    }
    launcher?.add({ command: CommandIDs.create, category: 'mlkit', rank: 2 });
    app.contextMenu.addItem({
      command: CommandIDs.notebook,
      selector: `.jp-DirListing-item[data-file-type="${TYPE}"]`,
      rank: 3
    });
  }
};

export default builder;
