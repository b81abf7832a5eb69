/** The plugin of the side panel, the status bar, their commands and settings. */
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { IDisposable } from '@lumino/disposable';

import { networkIcon } from './icon.js';
import { KernelWatch } from './kernel.js';
import { DEFAULTS, ISettings, Standing } from './model.js';
import { MlkitPanel } from './panel.js';
import { MlkitStatus } from './status.js';

const ID = 'mlkit-lab:panel';

namespace CommandIDs {
  export const open = 'mlkit:open-panel';
  export const refresh = 'mlkit:refresh-panel';
}

/** Settings as they should be, whatever the file says. */
function read(composite: Record<string, unknown>): ISettings {
  const interval = Number(composite.interval);
  return {
    probe: composite.probe !== false,
    interval: interval >= 1 && interval <= 300 ? interval : DEFAULTS.interval,
    runFolders: Array.isArray(composite.runFolders)
      ? composite.runFolders.filter((one): one is string => typeof one === 'string' && one.trim() !== '')
      : [],
    statusBar: composite.statusBar !== false
  };
}

const side: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Runs, tensors, models and memory in a side panel and in the status bar.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [ISettingRegistry, ILayoutRestorer, ICommandPalette, IStatusBar],
  activate: (
    app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    registry: ISettingRegistry | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    bar: IStatusBar | null
  ) => {
    const watch = new KernelWatch(app);
    const standing = new Standing(app.serviceManager.serverSettings, watch);
    const panel = new MlkitPanel(app, standing, rendermime);
    app.shell.add(panel, 'left', { rank: 350, type: 'mlkit' });
    restorer?.add(panel, panel.id);

    app.commands.addCommand(CommandIDs.open, {
      label: 'Show mlkit: Runs, Tensors, Memory',
      icon: networkIcon,
      execute: () => app.shell.activateById(panel.id)
    });
    app.commands.addCommand(CommandIDs.refresh, {
      label: 'Refresh the Panel of mlkit',
      execute: () => standing.refresh()
    });
    for (const command of [CommandIDs.open, CommandIDs.refresh]) {
      palette?.addItem({ command, category: 'mlkit' });
    }

    let item: IDisposable | null = null;
    const place = () => {
      const wanted = standing.settings.statusBar;
      if (bar && wanted && !item) {
        const status = new MlkitStatus(standing, () => app.shell.activateById(panel.id));
        item = bar.registerStatusItem('mlkit-lab:status', { item: status, align: 'left', rank: 90 });
      } else if (!wanted && item) {
        item.dispose();
        item = null;
      }
    };
    if (!registry) {
      place();
      return;
    }
    void registry
      .load(ID)
      .then(settings => {
        const take = () => {
          standing.settings = read(settings.composite as Record<string, unknown>);
          place();
        };
        settings.changed.connect(take);
        take();
      })
      .catch(error => {
        console.warn('mlkit: its settings could not be read; the usual ones are used.', error);
        place();
      });
  }
};

export default side;
