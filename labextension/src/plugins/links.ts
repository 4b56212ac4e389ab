import { IRouter, type JupyterFrontEndPlugin } from '@jupyterlab/application';

import { CommandIDs, IWorkbenchDocuments } from '../tokens';

/** What `run.url` in a kernel ends with: `/lab?mlops-run=<uid>`. */
const PARAMETER = 'mlops-run';

/** The parts of a location that the router gives. */
const ARGS = {
  type: 'object',
  properties: {
    path: { type: 'string' },
    search: { type: 'string' },
    hash: { type: 'string' }
  }
} as const;

/** Links to runs: an address that names one opens its page. */
export const linksPlugin: JupyterFrontEndPlugin<void> = {
  id: 'mlops-workbench:links',
  description: 'Opens the run that the address of the page names.',
  autoStart: true,
  requires: [IRouter, IWorkbenchDocuments],
  activate: (app, router: IRouter, documents: IWorkbenchDocuments) => {
    app.commands.addCommand(CommandIDs.openLink, {
      describedBy: { args: ARGS },
      execute: async args => {
        const { path, search, hash } = args as Partial<IRouter.ILocation>;
        const parameters = new URLSearchParams(search ?? '');
        const uid = parameters.get(PARAMETER);
        if (uid === null) {
          return;
        }
        // A reload is to restore what was open then, not this run once more.
        parameters.delete(PARAMETER);
        const rest = parameters.toString();
        router.navigate(`${path ?? ''}${rest === '' ? '' : `?${rest}`}${hash ?? ''}`, {
          skipRouting: true
        });
        // A layout that is restored later would close it.
        await app.restored;
        documents.open('run', uid);
      }
    });
    router.register({ command: CommandIDs.openLink, pattern: /[?&]mlops-run=[0-9a-f]+/ });
  }
};
