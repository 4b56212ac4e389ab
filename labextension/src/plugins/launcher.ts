import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILauncher } from '@jupyterlab/launcher';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs, IWorkbenchPanel } from '../tokens';

/** Adds a card to the launcher that shows the panel. */
export const launcherPlugin: JupyterFrontEndPlugin<void> = {
  id: 'mlops-workbench:launcher',
  description: 'Adds the workbench to the launcher.',
  autoStart: true,
  requires: [IWorkbenchPanel],
  // Notebook 7 has no launcher.
  optional: [ILauncher, ITranslator],
  activate: (
    _,
    _panel: IWorkbenchPanel,
    launcher: ILauncher | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('mlops_workbench');
    launcher?.add({
      command: CommandIDs.showPanel,
      args: { isLauncher: true },
      category: trans.__('Other'),
      rank: 5
    });
  }
};
