import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import { Dialog, InputDialog } from '@jupyterlab/apputils';

import { attempt } from '../components/dialogs';
import { runPipelineDialog } from '../components/pipeline-form';
import { pipelineIcon } from '../icons';
import type { WorkbenchModel } from '../model/workbench';
import {
  CommandIDs,
  IWorkbenchDocuments,
  IWorkbenchModel,
  IWorkbenchPanel,
  type Noun
} from '../tokens';

/** Commands of the palette: those that need a name ask for it. */
export const palettePlugin: JupyterFrontEndPlugin<void> = {
  id: 'mlops-workbench:palette',
  description: 'Adds the workbench to the command palette.',
  autoStart: true,
  requires: [ICommandPalette, IWorkbenchModel, IWorkbenchDocuments, IWorkbenchPanel],
  optional: [ITranslator],
  activate: (
    app,
    palette: ICommandPalette,
    model: WorkbenchModel,
    documents: IWorkbenchDocuments,
    _panel: IWorkbenchPanel,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('mlops_workbench');
    const category = trans.__('Workbench');
    addRunPipeline(app, model, documents, trans);
    const finders = addFinders(app, model, documents, trans);
    for (const command of [
      CommandIDs.showPanel,
      CommandIDs.refresh,
      CommandIDs.runPipeline,
      ...finders
    ]) {
      palette.addItem({ command, category });
    }
  }
};

function addRunPipeline(
  app: JupyterFrontEnd,
  model: WorkbenchModel,
  documents: IWorkbenchDocuments,
  trans: TranslationBundle
): void {
  app.commands.addCommand(CommandIDs.runPipeline, {
    label: trans.__('Run a Pipeline…'),
    icon: pipelineIcon,
    describedBy: {
      args: {
        type: 'object',
        properties: {
          name: { type: 'string', description: 'Name of the pipeline; asked for without it' }
        }
      }
    },
    execute: async args => {
      const pipelines = await attempt(() => model.client.pipelines());
      const runnable = (pipelines ?? []).filter(item => item.problem === '');
      const name =
        typeof args.name === 'string'
          ? args.name
          : await choose(
              trans.__('Run which pipeline?'),
              runnable.map(item => [item.name, item.name]),
              trans
            );
      const pipeline = runnable.find(item => item.name === name);
      if (pipeline && (await runPipelineDialog(pipeline, model, trans))) {
        documents.open('pipeline', pipeline.name);
      }
    }
  });
}

function addFinders(
  app: JupyterFrontEnd,
  model: WorkbenchModel,
  documents: IWorkbenchDocuments,
  trans: TranslationBundle
): string[] {
  const { client } = model;
  const finders: { noun: Noun; label: string; list: () => Promise<[string, string][]> }[] = [
    {
      noun: 'run',
      label: trans.__('Find a Run…'),
      list: async () =>
        (await client.runs({ limit: 500 })).map(run => [
          run.uid,
          `${run.name} – ${run.experiment}, ${new Date(run.start_ms).toLocaleString()}`
        ])
    },
    {
      noun: 'model',
      label: trans.__('Find a Model…'),
      list: async () => (await client.models()).map(item => [item.name, item.name])
    },
    {
      noun: 'endpoint',
      label: trans.__('Find an Endpoint…'),
      list: async () => (await client.endpoints()).map(item => [item.name, item.name])
    },
    {
      noun: 'pipeline',
      label: trans.__('Find a Pipeline…'),
      list: async () => (await client.pipelines()).map(item => [item.name, item.name])
    }
  ];
  return finders.map(({ noun, label, list }) => {
    const command = `mlops-workbench:find-${noun}`;
    app.commands.addCommand(command, {
      label,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: async () => {
        const items = await attempt(list);
        const id = items && (await choose(label, items, trans));
        if (id) {
          documents.open(noun, id);
        }
      }
    });
    return command;
  });
}

/** Let the user choose one of some texts; its id, or null. */
async function choose(
  title: string,
  items: [string, string][],
  trans: TranslationBundle
): Promise<string | null> {
  if (items.length === 0) {
    await new Dialog({
      title,
      body: trans.__('There is none yet.'),
      buttons: [Dialog.okButton()]
    }).launch();
    return null;
  }
  const result = await InputDialog.getItem({ title, items: items.map(([, text]) => text) });
  const found = items.find(([, text]) => text === result.value);
  return result.button.accept && found ? found[0] : null;
}
