import * as React from 'react';

import type { RunDetail } from '../api/types';
import { useWorkbench } from '../components/context';
import { askFields, attempt } from '../components/dialogs';
import { Action } from '../components/page';
import { lines } from '../format/text';

/** Registers the model of a run; nothing where there is none. */
export function RegisterAction({ detail }: { detail: RunDetail }): React.ReactElement | null {
  const { model, trans, open } = useWorkbench();
  const { run, models } = detail;
  if (models.length === 0 || run.status === 'RUNNING') {
    return null;
  }
  const register = async (): Promise<void> => {
    const fields = await askFields(
      trans.__('Register the model of %1', run.name),
      trans.__('A version can be deployed, promoted by an alias and rolled back.'),
      [
        {
          name: 'name',
          label: trans.__('Registered model'),
          value: run.experiment,
          required: true
        },
        ...(models.length > 1
          ? [
              {
                name: 'model',
                label: trans.__('Model'),
                value: models[0].name,
                options: models.map(item => item.name)
              }
            ]
          : []),
        {
          name: 'alias',
          label: trans.__('Alias'),
          value: '',
          help: trans.__('For example champion; none if empty.')
        },
        {
          name: 'gate',
          label: trans.__('Gate'),
          value: '',
          lines: 2,
          help: trans.__('One condition a line, for example mae < 20.')
        }
      ],
      trans.__('Register'),
      trans
    );
    if (fields === null) {
      return;
    }
    const gate = lines(fields.gate);
    const { name, alias } = fields;
    const body = {
      run: run.uid,
      model: fields.model ?? '',
      alias,
      gate,
      experiment: '',
      baseline: ''
    };
    const version = await attempt(
      () => model.client.register(name.trim(), body),
      made => trans.__('%1 version %2 is registered.', made.name, made.version)
    );
    if (version) {
      open('model', version.name);
    }
  };
  return <Action label={trans.__('Register…')} primary onClick={() => void register()} />;
}
