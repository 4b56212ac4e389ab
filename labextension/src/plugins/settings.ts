import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { Preferences } from '../model/preferences';
import { IWorkbenchPreferences } from '../tokens';

const ID = 'mlops-workbench:settings';

/** Reads the user's choices; without a settings registry the defaults hold. */
export const settingsPlugin: JupyterFrontEndPlugin<Preferences> = {
  id: ID,
  description: 'Reads the settings of the workbench.',
  autoStart: true,
  provides: IWorkbenchPreferences,
  optional: [ISettingRegistry],
  activate: (_, registry: ISettingRegistry | null) => {
    const preferences = new Preferences();
    // Not waited for: the panel is there at once, and follows when the settings are.
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
