/** What we do in an open notebook. Its package is not needed for it: a few members of the panel and its commands. */
import { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, Notification } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { Widget } from '@lumino/widgets';

import { IPlace } from './kernel.js';
import { lineIn } from './words.js';

interface IEditor {
  focus(): void;
  setSelection(selection: { start: IPosition; end: IPosition }): void;
  revealPosition?(position: IPosition): void;
}

interface IPosition {
  line: number;
  column: number;
}

interface ICell extends Widget {
  editor: IEditor | null;
  ready?: Promise<void>;
  model: { type: string; executionCount?: number | null; sharedModel: { source: string; setSource(text: string): void } };
}

interface INotebookPanel extends Widget {
  content: Widget & {
    widgets: readonly ICell[];
    activeCell: ICell | null;
    activeCellIndex: number;
    mode: string;
    scrollToItem?(index: number, align?: string): Promise<void>;
  };
}

export const isNotebookPanel = (widget: Widget | null): widget is INotebookPanel =>
  !!widget && Array.isArray((widget as INotebookPanel).content?.widgets) && 'activeCellIndex' in (widget as INotebookPanel).content;

/** A new cell below the active one, not run; false where no notebook is open. */
export async function insertCell(app: JupyterFrontEnd, panel: Widget | null, code: string): Promise<boolean> {
  if (!isNotebookPanel(panel) || panel.isDisposed) {
    return false;
  }
  (app.shell as JupyterFrontEnd.IShell).activateById(panel.id);
  await app.commands.execute('notebook:insert-cell-below');
  const cell = panel.content.activeCell;
  cell?.model.sharedModel.setSource(code);
  return cell !== null;
}

/** Put `code` into the notebook in front, else into the clipboard; says which. */
export async function offerCode(app: JupyterFrontEnd, panel: Widget | null, code: string, what: string): Promise<void> {
  if (await insertCell(app, panel, code)) {
    Notification.info(`${what} is in a new cell. Run it.`, { autoClose: 3000 });
  } else {
    Clipboard.copyToSystem(code);
    Notification.info(`No notebook is open: ${what} has been copied.`, { autoClose: 4000 });
  }
}

/** Go to the line that made a tensor: in a cell, or in a file that JupyterLab can open; otherwise say it in words. */
export async function goTo(app: JupyterFrontEnd, panel: Widget | null, place: IPlace, root: string): Promise<void> {
  if (isNotebookPanel(panel) && !panel.isDisposed) {
    const cells = panel.content.widgets;
    const fits = (cell: ICell) => cell.model.type === 'code' && lineIn(cell.model.sharedModel.source, place.line, place.code) >= 0;
    const known = cells.findIndex(cell => place.cell !== undefined && cell.model.executionCount === place.cell && fits(cell));
    // The cell may have been run by another page, or moved, or run again: its text tells too.
    const index = known >= 0 || place.cell === undefined ? known : cells.findIndex(fits);
    if (index >= 0) {
      const cell = cells[index];
      app.shell.activateById(panel.id);
      panel.content.activeCellIndex = index;
      await panel.content.scrollToItem?.(index, 'smart');
      await cell.ready;
      panel.content.mode = 'edit';
      choose(cell.editor, cell.model.sharedModel.source, lineIn(cell.model.sharedModel.source, place.line, place.code));
      return;
    }
  }
  const where = place.cell !== undefined ? `cell [${place.cell}], line ${place.line}` : `${place.file}, line ${place.line}`;
  if (place.cell === undefined && root && place.file.startsWith(`${root}/`)) {
    const widget = await app.commands.execute('docmanager:open', { path: place.file.slice(root.length + 1), factory: 'Editor' });
    await widget?.context?.ready;
    const editor: IEditor | undefined = widget?.content?.editor;
    if (editor) {
      choose(editor, widget.context.model.toString(), place.line - 1);
      return;
    }
  }
  const reason = place.cell !== undefined ? ' That cell has been changed or deleted since.' : ` (${PathExt.basename(place.file)})`;
  Notification.info(`Made in ${where}: ${place.code}.${reason}`, { autoClose: 8000 });
}

function choose(editor: IEditor | null, source: string, line: number): void {
  const text = source.split('\n')[line] ?? '';
  const start = { line, column: text.length - text.trimStart().length };
  editor?.focus();
  editor?.setSelection({ start, end: { line, column: text.length } });
  editor?.revealPosition?.(start);
}
