import * as React from 'react';

import type { ModelVersion } from '../api/types';
import { useWorkbench } from '../components/context';
import { showForm } from '../components/forms';
import { Action } from '../components/page';
import { lines } from '../format/text';
import { rollbackReason } from './rollback-reason';

/** Buttons to roll back the model and to promote or deploy the version. */
export function ModelActions({
  version,
  versions
}: {
  version: ModelVersion;
  versions: ModelVersion[];
}): React.ReactElement {
  const { model, trans, open } = useWorkbench();
  const { name } = version;
  const holder = (alias: string): ModelVersion | undefined =>
    versions.find(item => item.aliases.includes(alias));
  // A version in quarantine is nothing to go back to.
  const previous = versions.find(item => item.aliases.includes('previous') && !item.quarantine);

  const promote = (): Promise<unknown> =>
    showForm(
      {
        title: trans.__('Promote version %1 of %2', version.version, name),
        intro: trans.__(
          'The alias moves to this version. Endpoints that follow the alias switch to it without losing a request.'
        ),
        fields: [
          { name: 'alias', label: trans.__('Alias'), value: 'champion', required: true },
          {
            name: 'gate',
            label: trans.__('Gate'),
            // The others are asked for by the settings, and have no condition that can be typed.
            value: (version.gate?.checks ?? [])
              .filter(check => check.kind === 'metric')
              .map(check => check.condition)
              .join('\n'),
            input: 'lines',
            help: trans.__('One condition per line. The alias moves only if all of them hold.')
          }
        ],
        accept: trans.__('Promote'),
        submit: ({ alias, gate }) =>
          model.client
            .promote(name, version.version, {
              alias: alias.trim(),
              gate: lines(gate),
              baseline: ''
            })
            // The server stores the result of a failed gate with the version.
            .finally(() => model.refresh()),
        success: made => trans.__('%1 version %2 is promoted.', name, made.version)
      },
      trans
    );

  const deploy = async (): Promise<void> => {
    const references = [
      ...version.aliases.map(alias => `${name}@${alias}`),
      `${name}/${version.version}`
    ];
    const endpoint = await showForm(
      {
        title: trans.__('Deploy version %1 of %2', version.version, name),
        intro: trans.__('NAME@ALIAS follows the alias. NAME/VERSION stays at that version.'),
        fields: [
          { name: 'endpoint', label: trans.__('Endpoint'), value: name, required: true },
          {
            name: 'model',
            label: trans.__('Model'),
            value: references[0],
            options: references.map(value => ({ value }))
          }
        ],
        accept: trans.__('Deploy'),
        submit: entries => model.client.deploy(entries.endpoint.trim(), entries.model)
      },
      trans
    );
    if (endpoint) {
      open('endpoint', endpoint.name);
    }
  };

  const rollback = (): Promise<unknown> =>
    showForm(
      {
        title: trans.__('Roll back %1?', name),
        intro: trans.__(
          'The alias champion moves from version %1 back to version %2.',
          holder('champion')?.version ?? '–',
          previous?.version ?? '–'
        ),
        fields: [rollbackReason(trans)],
        accept: trans.__('Roll back'),
        danger: true,
        submit: ({ reason }) =>
          model.client
            .rollbackModel(name, reason.trim(), holder('champion')?.version ?? 0)
            .finally(() => model.refresh()),
        success: made =>
          trans.__('Rolled back: the champion of %1 is version %2.', name, made.version)
      },
      trans
    );

  return (
    <>
      {previous && <Action label={trans.__('Roll back…')} danger onClick={() => void rollback()} />}
      <Action label={trans.__('Promote…')} onClick={() => void promote()} />
      <Action label={trans.__('Deploy…')} primary onClick={() => void deploy()} />
    </>
  );
}
