import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import * as React from 'react';

import { endpointIcon } from '../icons';
import { EndpointPage } from '../pages/endpoint';
import { EndpointsSection } from '../panel/endpoints';
import { CommandIDs, IWorkbenchDocuments, IWorkbenchPanel } from '../tokens';

/** Adds the endpoints' section of the panel and their documents. */
export const endpointsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'mlops-workbench:endpoints',
  description: 'Adds endpoints to the workbench.',
  autoStart: true,
  requires: [IWorkbenchDocuments],
  optional: [IWorkbenchPanel, ITranslator],
  activate: (
    _,
    documents: IWorkbenchDocuments,
    panel: IWorkbenchPanel | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('mlops_workbench');
    documents.add({
      noun: 'endpoint',
      command: CommandIDs.openEndpoint,
      commandLabel: trans.__('Open an endpoint'),
      icon: endpointIcon,
      label: trans.__('Endpoint'),
      title: id => id,
      page: id => <EndpointPage name={id} />
    });
    panel?.addSection({
      id: 'endpoints',
      label: trans.__('Endpoints'),
      rank: 30,
      size: 2,
      body: <EndpointsSection />
    });
  }
};
