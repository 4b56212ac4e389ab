import * as React from 'react';

import { Problem } from '../api/problem';
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
    /** Versions whose gate failed. They are registered: the next attempt promotes them. */
    const made = new Map<string, number>();
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
        submit: async ({ name: entered, model: chosen = '', alias, gate }) => {
          const name = entered.trim();
          const wanted = { alias: alias.trim(), gate: lines(gate), baseline: '' };
          const key = `${name}/${chosen}`;
          const number = made.get(key);
          if (number !== undefined) {
            return model.client.promote(name, number, wanted);
          }
          try {
            const body = { ...wanted, run: run.uid, model: chosen, experiment: '' };
            return await model.client.register(name, body);
          } catch (reason) {
            if (Problem.from(reason).code === 'gate_failed') {
              const versions = await model.client.versions(name);
              const newest = versions
                .filter(item => item.run_uid === run.uid)
                .map(item => item.version);
              made.set(key, Math.max(...newest));
            }
            throw reason;
          }
        },
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
