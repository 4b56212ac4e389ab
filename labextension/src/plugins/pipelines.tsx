import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import * as React from 'react';

import { pipelineIcon } from '../icons';
import { PipelinePage } from '../pages/pipeline';
import { PipelinesSection } from '../panel/pipelines';
import { CommandIDs, IWorkbenchDocuments, IWorkbenchPanel } from '../tokens';

/** Adds the pipelines' section of the panel and their documents. */
export const pipelinesPlugin: JupyterFrontEndPlugin<void> = {
  id: 'mlops-workbench:pipelines',
  description: 'Adds pipelines to the workbench.',
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
      noun: 'pipeline',
      command: CommandIDs.openPipeline,
      commandLabel: trans.__('Open a pipeline'),
      icon: pipelineIcon,
      label: trans.__('Pipeline'),
      title: id => id,
      page: id => <PipelinePage name={id} />
    });
    panel?.addSection({
      id: 'pipelines',
      label: trans.__('Pipelines'),
      rank: 40,
      size: 3,
      body: <PipelinesSection />
    });
  }
};
