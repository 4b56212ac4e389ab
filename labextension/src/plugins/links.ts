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

/** Links to runs, models and so on: an address that names one opens its page. */
export const linksPlugin: JupyterFrontEndPlugin<void> = {
  id: 'mlops-workbench:links',
  description: 'Opens what the address of the page names.',
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
        // A reload is to restore what was open then, not this once more.
        router.navigate(`${path ?? ''}${link.rest}${hash ?? ''}`, { skipRouting: true });
        // A layout that is restored later would close it.
        await app.restored;
        documents.open(link.noun, link.id);
      }
    });
    router.register({ command: CommandIDs.openLink, pattern: LINK });
  }
};
