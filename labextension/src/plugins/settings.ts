import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { Preferences } from '../model/preferences';
import { IWorkbenchPreferences } from '../tokens';

const ID = 'mlops-workbench:settings';

/** Reads the settings. Without a settings registry the defaults are used. */
export const settingsPlugin: JupyterFrontEndPlugin<Preferences> = {
  id: ID,
  description: 'Reads the settings of the workbench.',
  autoStart: true,
  provides: IWorkbenchPreferences,
  optional: [ISettingRegistry],
  activate: (_, registry: ISettingRegistry | null) => {
    const preferences = new Preferences();
    // Not awaited: the panel is shown with the defaults until the settings are loaded.
    registry
      ?.load(ID)
      .then(settings => {
        const apply = (): void => preferences.set(settings.composite);
        settings.changed.connect(apply);
        apply();
      })
      .catch(reason => console.error('The settings of the workbench cannot be read.', reason));
    return preferences;
  }
};
