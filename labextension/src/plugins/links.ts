import { IRouter, type JupyterFrontEndPlugin } from '@jupyterlab/application';

import { LINK, readLink } from '../links';
import { CommandIDs, IWorkbenchDocuments } from '../tokens';

/** The parts of a location that the router gives. */
const ARGS = {
  type: 'object',
  properties: {
    path: { type: 'string' },
    search: { type: 'string' },
    hash: { type: 'string' }
  }
} as const;

/** Opens the document of the object that the address of the page names. */
export const linksPlugin: JupyterFrontEndPlugin<void> = {
  id: 'mlops-workbench:links',
  description: 'Opens the run, model, endpoint or pipeline that the address names.',
  autoStart: true,
  requires: [IRouter, IWorkbenchDocuments],
  activate: (app, router: IRouter, documents: IWorkbenchDocuments) => {
    app.commands.addCommand(CommandIDs.openLink, {
      describedBy: { args: ARGS },
      execute: async args => {
        const { path, search, hash } = args as Partial<IRouter.ILocation>;
        const link = readLink(search ?? '');
        if (link === null) {
          return;
        }
        // Without the name in the address, a reload does not open the document again.
        router.navigate(`${path ?? ''}${link.rest}${hash ?? ''}`, { skipRouting: true });
        // Restoring the layout afterwards would close the document.
        await app.restored;
        documents.open(link.noun, link.id);
      }
    });
    router.register({ command: CommandIDs.openLink, pattern: LINK });
  }
};
