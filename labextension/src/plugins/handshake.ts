import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Problem } from '../api/problem';
import type { WorkbenchModel } from '../model/workbench';
import { IWorkbenchModel } from '../tokens';
import { VERSION } from '../version';

/** Says, once and clearly, when the server's part is missing or of another version. */
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
              'The workbench in this page is %1, on the server %2. Reload the page; if that does not help, restart Jupyter.',
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
              'The server extension of the workbench is not enabled. Run: jupyter server extension enable mlops_workbench'
            ),
            { autoClose: false }
          );
        }
      }
    };
    void app.restored.then(check);
  }
};
