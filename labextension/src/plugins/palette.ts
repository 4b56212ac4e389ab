import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';

import { attempt, showForm } from '../components/forms';
import { showPipelineForm } from '../components/pipeline-form';
import { formatMoment } from '../format/times';
import { pipelineIcon } from '../icons';
import type { WorkbenchModel } from '../model/workbench';
import {
  CommandIDs,
  IWorkbenchDocuments,
  IWorkbenchModel,
  IWorkbenchPanel,
  type Noun
} from '../tokens';

/** Adds the commands of the palette, and those that let the user choose an object. */
export const palettePlugin: JupyterFrontEndPlugin<void> = {
  id: 'mlops-workbench:palette',
  description: 'Adds the commands of the workbench to the command palette.',
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
          name: {
            type: 'string',
            description: 'Name of the pipeline. The user chooses if it is left out.'
          }
        }
      }
    },
    execute: async args => {
      const pipelines = await attempt(() => model.client.pipelines());
      const runnable = pipelines?.filter(item => item.problem === '');
      const name =
        typeof args.name === 'string'
          ? args.name
          : runnable &&
            (await choose(
              {
                title: trans.__('Run a Pipeline'),
                label: trans.__('Pipeline'),
                accept: trans.__('Continue'),
                none: trans.__('No pipeline can run yet.')
              },
              named(runnable),
              trans
            ));
      const pipeline = runnable?.find(item => item.name === name);
      if (pipeline && (await showPipelineForm(pipeline, model, trans))) {
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
  const accept = trans.__('Open');
  const finders: (IChoice & { noun: Noun; list: () => Promise<Item[]> })[] = [
    {
      noun: 'run',
      title: trans.__('Find a Run'),
      label: trans.__('Run'),
      accept,
      none: trans.__('No runs yet.'),
      list: async () =>
        (await client.runs({ limit: 500 })).map(run => [
          run.uid,
          `${run.name} – ${run.experiment}, ${formatMoment(run.start_ms)}`
        ])
    },
    {
      noun: 'model',
      title: trans.__('Find a Model'),
      label: trans.__('Model'),
      accept,
      none: trans.__('No registered models yet.'),
      list: async () => named(await client.models())
    },
    {
      noun: 'endpoint',
      title: trans.__('Find an Endpoint'),
      label: trans.__('Endpoint'),
      accept,
      none: trans.__('No endpoints yet.'),
      list: async () => named(await client.endpoints())
    },
    {
      noun: 'pipeline',
      title: trans.__('Find a Pipeline'),
      label: trans.__('Pipeline'),
      accept,
      none: trans.__('No pipelines yet.'),
      list: async () => named(await client.pipelines())
    }
  ];
  return finders.map(({ noun, list, ...choice }) => {
    const command = `mlops-workbench:find-${noun}`;
    app.commands.addCommand(command, {
      label: `${choice.title}…`,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: async () => {
        const items = await attempt(list);
        const id = items && (await choose(choice, items, trans));
        if (id) {
          documents.open(noun, id);
        }
      }
    });
    return command;
  });
}

/** An id and the text that is shown for it. */
type Item = [id: string, text: string];

/** Texts of a form with one choice; `none` is shown if there are no items. */
interface IChoice {
  title: string;
  label: string;
  accept: string;
  none: string;
}

function named(items: { name: string }[]): Item[] {
  return items.map(({ name }) => [name, name]);
}

/** Id of the item that the user chooses; null without items or if the user cancels. */
async function choose(
  { title, label, accept, none }: IChoice,
  items: Item[],
  trans: TranslationBundle
): Promise<string | null> {
  if (items.length === 0) {
    Notification.info(none);
    return null;
  }
  const options = items.map(([value, text]) => ({ value, label: text }));
  return showForm(
    {
      title,
      fields: [{ name: 'id', label, value: options[0].value, options }],
      accept,
      submit: entries => Promise.resolve(entries.id)
    },
    trans
  );
}
