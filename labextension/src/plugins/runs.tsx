import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import * as React from 'react';

import { shortId } from '../format/text';
import { runIcon } from '../icons';
import { RunPage } from '../pages/run';
import { RunsSection } from '../panel/runs';
import { CommandIDs, IWorkbenchDocuments, IWorkbenchPanel } from '../tokens';

/** Adds the runs' section of the panel and their documents. */
export const runsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'mlops-workbench:runs',
  description: 'Adds runs to the workbench.',
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
      noun: 'run',
      command: CommandIDs.openRun,
      commandLabel: trans.__('Open a run'),
      icon: runIcon,
      label: trans.__('Run'),
      title: shortId,
      page: (id, setTitle) => <RunPage uid={id} setTitle={setTitle} />
    });
    panel?.addSection({
      id: 'runs',
      label: trans.__('Runs'),
      rank: 10,
      size: 6,
      body: <RunsSection />
    });
  }
};
