import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import * as React from 'react';

import { modelIcon } from '../icons';
import { ModelPage } from '../pages/model';
import { ModelsSection } from '../panel/models';
import { CommandIDs, IWorkbenchDocuments, IWorkbenchPanel } from '../tokens';

/** Adds the models' section of the panel and their documents. */
export const modelsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'mlops-workbench:models',
  description: 'Adds models to the workbench.',
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
      noun: 'model',
      command: CommandIDs.openModel,
      commandLabel: trans.__('Open a model'),
      icon: modelIcon,
      label: trans.__('Model'),
      title: id => id,
      page: id => <ModelPage name={id} />
    });
    panel?.addSection({
      id: 'models',
      label: trans.__('Models'),
      rank: 20,
      size: 2,
      body: <ModelsSection />
    });
  }
};
