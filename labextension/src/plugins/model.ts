import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { WorkbenchClient } from '../api/client';
import { Changes } from '../model/changes';
import type { Preferences } from '../model/preferences';
import { WorkbenchModel } from '../model/workbench';
import { IWorkbenchModel, IWorkbenchPreferences } from '../tokens';

/** Provides the data of the workspace. */
export const modelPlugin: JupyterFrontEndPlugin<WorkbenchModel> = {
  id: 'mlops-workbench:model',
  description: 'Provides the data of the workspace: runs, models, endpoints and pipelines.',
  autoStart: true,
  requires: [IWorkbenchPreferences],
  provides: IWorkbenchModel,
  activate: (app, preferences: Preferences) => {
    const { events, serverSettings } = app.serviceManager;
    const changes = new Changes(events, preferences.values.refreshSeconds);
    return new WorkbenchModel(new WorkbenchClient(serverSettings), changes, preferences);
  }
};
