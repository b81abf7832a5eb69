import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, showErrorMessage } from '@jupyterlab/apputils';
import { PageConfig, PathExt, URLExt } from '@jupyterlab/coreutils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { Contents, ServerConnection } from '@jupyterlab/services';

import builder from './builder.js';
import { networkIcon } from './icon.js';
import { exampleNotebook, freeName, INotebook, isNotebook } from './notebook.js';
import picture from './picture.js';
import side from './side.js';

const EXTENSION = 'mlkit-lab';
const CATEGORY = 'mlkit';

namespace CommandIDs {
  export const firstNetwork = 'mlkit:first-network';
}

/** The guide as shipped beside this script; null where it was not. */
async function shippedGuide(settings: ServerConnection.ISettings): Promise<INotebook | null> {
  // The option is a path without a host, as '/lab/extensions'.
  const extensions = new URL(PageConfig.getOption('fullLabextensionsUrl') || 'lab/extensions', settings.baseUrl).href;
  const response = await ServerConnection.makeRequest(
    URLExt.join(extensions, EXTENSION, 'static', 'first-network.ipynb'),
    {},
    settings
  );
  if (!response.ok) {
    return null;
  }
  const notebook: unknown = await response.json().catch(() => null);
  return isNotebook(notebook) ? notebook : null;
}

/** Write a fresh copy into `folder` under a name that is not taken; returns its path. */
async function writeFirstNetwork(contents: Contents.IManager, settings: ServerConnection.ISettings, folder: string): Promise<string> {
  const notebook = (await shippedGuide(settings)) ?? exampleNotebook();
  const listing = await contents.get(folder, { content: true });
  const path = PathExt.join(folder, freeName(listing.content.map((item: Contents.IModel) => item.name)));
  await contents.save(path, { type: 'notebook', format: 'json', content: notebook });
  return path;
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: `${EXTENSION}:plugin`,
  description: 'A launcher card and a command that open a first network to train.',
  autoStart: true,
  optional: [ILauncher, ICommandPalette, IDefaultFileBrowser],
  activate: (
    app: JupyterFrontEnd,
    launcher: ILauncher | null,
    palette: ICommandPalette | null,
    browser: IDefaultFileBrowser | null
  ) => {
    const { contents, serverSettings } = app.serviceManager;

    app.commands.addCommand(CommandIDs.firstNetwork, {
      label: args => (args.isPalette ? 'Open a First Network to Train' : 'mlkit: first network'),
      caption: 'Open a copy of the guide: train a convolutional network on handwritten digits and watch it learn',
      icon: args => (args.isPalette ? undefined : networkIcon),
      execute: async args => {
        const folder = typeof args.cwd === 'string' ? args.cwd : (browser?.model.path ?? '');
        try {
          const path = await writeFirstNetwork(contents, serverSettings, folder);
          return await app.commands.execute('docmanager:open', { path, factory: 'Notebook', kernel: { name: 'python3' } });
        } catch (error) {
          const reason = error instanceof Error ? error.message : String(error);
          await showErrorMessage(
            'The first network could not be opened',
            `No notebook could be made in the folder "${folder || '/'}": ${reason}. Choose another folder in the file browser and try again.`
          );
          return undefined;
        }
      }
    });

    launcher?.add({ command: CommandIDs.firstNetwork, category: CATEGORY, rank: 1 });
    palette?.addItem({ command: CommandIDs.firstNetwork, category: CATEGORY, args: { isPalette: true } });
  }
};

export default [plugin, picture, side, builder];
