import type { TranslationBundle } from '@jupyterlab/translation';

import type { Pipeline, PipelineParam, PipelineRun } from '../api/types';
import type { WorkbenchModel } from '../model/workbench';
import { type IField, showForm } from './forms';

/** Ask for the parameters of a pipeline and start it; null if the user cancels. */
export function showPipelineForm(
  { name, params }: Pipeline,
  model: WorkbenchModel,
  trans: TranslationBundle
): Promise<PipelineRun | null> {
  const fields = params.map(paramField);
  return showForm(
    {
      title: trans.__('Run %1', name),
      intro: fields.length === 0 ? trans.__('This pipeline has no parameters.') : '',
      fields,
      accept: trans.__('Run'),
      submit: entries => {
        const changed = fields.filter(field => entries[field.name] !== field.value);
        const values = Object.fromEntries(changed.map(field => [field.name, entries[field.name]]));
        return model.client
          .runPipeline(name, values)
          .finally(() => void model.pipelineRuns.refresh());
      },
      success: () => trans.__('Pipeline %1 has started.', name)
    },
    trans
  );
}

/** Field of a parameter. Its entry is sent as text; the server converts and checks it. */
export function paramField({ name, type, help, default: value }: PipelineParam): IField {
  const open = value === null;
  const choices = type === 'bool' && open ? ['true', 'false'] : choicesOf(type);
  const inputs: Record<string, IField['input']> = {
    bool: 'checkbox',
    int: 'numeric',
    float: 'decimal'
  };
  return {
    name,
    label: name,
    type,
    value: open ? '' : String(value),
    help,
    input: inputs[type],
    // Without a default, no value is selected at first.
    options: choices && (open ? ['', ...choices] : choices).map(text => ({ value: text }))
  };
}

/** Values of a type such as `one of 'a', 'b'`, if all of them are texts. */
function choicesOf(type: string): string[] | undefined {
  const quoted = /^(?:'[^'\\]*'|"[^"\\]*")$/;
  const items = type.startsWith('one of ') ? type.slice('one of '.length).split(', ') : [];
  return items.length > 0 && items.every(item => quoted.test(item))
    ? items.map(item => item.slice(1, -1))
    : undefined;
}
