import type { JupyterFrontEnd } from '@jupyterlab/application';
import { type INotebookTracker, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';

/** Put code into cells below the active one of the notebook in front; into a new notebook if there is none. */
export async function insertCells(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  cells: readonly string[]
): Promise<void> {
  const panel =
    tracker.currentWidget ??
    ((await app.commands.execute('notebook:create-new', {
      activate: true,
      // Otherwise the user is asked which kernel it has.
      kernelName: app.serviceManager.kernelspecs.specs?.default
    })) as NotebookPanel);
  await panel.context.ready;
  await panel.revealed;
  app.shell.activateById(panel.id);
  const notebook = panel.content;
  for (const code of cells) {
    const active = notebook.activeCell?.model;
    // The empty cell of a new notebook is filled, and not left above.
    if (active?.type !== 'code' || active.sharedModel.getSource().trim() !== '') {
      NotebookActions.insertBelow(notebook);
    }
    notebook.activeCell?.model.sharedModel.setSource(code);
  }
}
