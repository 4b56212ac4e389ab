import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Problem } from '../api/problem';
import type { WorkbenchModel } from '../model/workbench';
import { IWorkbenchModel } from '../tokens';
import { VERSION } from '../version';

/** Notifies the user if the server extension is missing or has another version. */
export const handshakePlugin: JupyterFrontEndPlugin<void> = {
  id: 'mlops-workbench:handshake',
  description: 'Compares the versions of the lab extension and the server extension.',
  autoStart: true,
  requires: [IWorkbenchModel],
  optional: [ITranslator],
  activate: (app, model: WorkbenchModel, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load('mlops_workbench');
    const check = async (): Promise<void> => {
      try {
        const { version } = await model.client.handshake();
        if (version !== VERSION) {
          Notification.warning(
            trans.__(
              'The Workbench has version %1 in this page and version %2 on the server. Reload the page. If that does not help, restart Jupyter.',
              VERSION,
              version
            ),
            { autoClose: false }
          );
        }
      } catch (reason) {
        if (Problem.from(reason).status === 404) {
          Notification.error(
            trans.__(
              'The server extension of the Workbench is not enabled. Run: jupyter server extension enable mlops_workbench'
            ),
            { autoClose: false }
          );
        }
      }
    };
    void app.restored.then(check);
  }
};
