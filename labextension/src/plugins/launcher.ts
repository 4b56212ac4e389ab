import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILauncher } from '@jupyterlab/launcher';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs, IWorkbenchPanel } from '../tokens';

/** A card that shows the panel. */
export const launcherPlugin: JupyterFrontEndPlugin<void> = {
  id: 'mlops-workbench:launcher',
  description: 'Adds the workbench to the launcher.',
  autoStart: true,
  requires: [ILauncher, IWorkbenchPanel],
  optional: [ITranslator],
  activate: (_, launcher: ILauncher, _panel: IWorkbenchPanel, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load('mlops_workbench');
    launcher.add({
      command: CommandIDs.showPanel,
      args: { isLauncher: true },
      category: trans.__('Other'),
      rank: 5
    });
  }
};
