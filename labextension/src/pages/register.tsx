import * as React from 'react';

import type { RunDetail } from '../api/types';
import { useWorkbench } from '../components/context';
import { type IField, showForm } from '../components/forms';
import { Action } from '../components/page';
import { lines } from '../format/text';

/** Button that registers a model of a run; hidden without a model. */
export function RegisterAction({ detail }: { detail: RunDetail }): React.ReactElement | null {
  const { model, trans, open } = useWorkbench();
  const { run, models } = detail;
  if (models.length === 0 || run.status === 'RUNNING') {
    return null;
  }
  const choice: IField = {
    name: 'model',
    label: trans.__('Model'),
    value: models[0].name,
    options: models.map(item => ({ value: item.name }))
  };
  const register = async (): Promise<void> => {
    const version = await showForm(
      {
        title: trans.__('Register the model of %1', run.name),
        intro: trans.__('A registered version can be deployed, promoted and rolled back.'),
        fields: [
          {
            name: 'name',
            label: trans.__('Registered model'),
            value: run.experiment,
            required: true
          },
          ...(models.length > 1 ? [choice] : []),
          {
            name: 'alias',
            label: trans.__('Alias'),
            value: '',
            help: trans.__('Optional, for example champion.')
          },
          {
            name: 'gate',
            label: trans.__('Gate'),
            value: '',
            input: 'lines',
            help: trans.__('Optional. One condition per line, for example mae < 20.')
          }
        ],
        accept: trans.__('Register'),
        // A version whose gate failed stays registered; the server gives it again for the same model.
        submit: ({ name, model: chosen = '', alias, gate }) =>
          model.client.register(name.trim(), {
            run: run.uid,
            model: chosen,
            experiment: '',
            alias: alias.trim(),
            gate: lines(gate),
            baseline: ''
          }),
        success: made => trans.__('%1 version %2 is registered.', made.name, made.version)
      },
      trans
    );
    if (version) {
      open('model', version.name);
    }
  };
  return <Action label={trans.__('Register…')} primary onClick={() => void register()} />;
}
