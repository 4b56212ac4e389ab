import * as React from 'react';

import type { ModelVersion } from '../api/types';
import { useWorkbench } from '../components/context';
import { askFields, attempt, confirm } from '../components/dialogs';
import { Action } from '../components/page';
import { lines } from '../format/text';

/** What may be done with a version: promote it, deploy it, go back from it. */
export function ModelActions({
  version,
  versions
}: {
  version: ModelVersion;
  versions: ModelVersion[];
}): React.ReactElement {
  const { model, trans, open } = useWorkbench();
  const { name } = version;

  const promote = async (): Promise<void> => {
    const fields = await askFields(
      trans.__('Promote version %1 of %2', version.version, name),
      trans.__(
        'The alias moves to this version. Endpoints that follow the alias switch to it without losing a request.'
      ),
      [
        { name: 'alias', label: trans.__('Alias'), value: 'champion', required: true },
        {
          name: 'gate',
          label: trans.__('Gate'),
          value: (version.gate?.checks ?? []).map(check => check.condition).join('\n'),
          lines: 3,
          help: trans.__('One condition a line; the alias stays where it is unless all hold.')
        }
      ],
      trans.__('Promote'),
      trans
    );
    if (fields) {
      const body = { alias: fields.alias.trim(), gate: lines(fields.gate), baseline: '' };
      await attempt(
        () => model.client.promote(name, version.version, body),
        made => trans.__('%1 of %2 is version %3.', body.alias, name, made.version)
      );
      model.refresh();
    }
  };

  const deploy = async (): Promise<void> => {
    const references = [
      ...version.aliases.map(alias => `${name}@${alias}`),
      `${name}/${version.version}`
    ];
    const fields = await askFields(
      trans.__('Deploy version %1 of %2', version.version, name),
      trans.__('A reference with @ follows the alias; one with / stays at its version.'),
      [
        { name: 'endpoint', label: trans.__('Endpoint'), value: name, required: true },
        { name: 'model', label: trans.__('Serve'), value: references[0], options: references }
      ],
      trans.__('Deploy'),
      trans
    );
    if (fields) {
      const endpoint = await attempt(() =>
        model.client.deploy(fields.endpoint.trim(), fields.model)
      );
      if (endpoint) {
        open('endpoint', endpoint.name);
      }
    }
  };

  const rollback = async (): Promise<void> => {
    const meant = await confirm(
      trans.__('Roll back %1?', name),
      trans.__('The alias champion goes back to the version it had before.'),
      trans.__('Roll back'),
      trans,
      true
    );
    if (meant) {
      await attempt(
        () => model.client.rollbackModel(name),
        made => trans.__('champion of %1 is version %2 again.', name, made.version)
      );
      model.refresh();
    }
  };

  return (
    <>
      {versions.some(item => item.aliases.includes('previous')) && (
        <Action label={trans.__('Roll back…')} danger onClick={() => void rollback()} />
      )}
      <Action label={trans.__('Promote…')} onClick={() => void promote()} />
      <Action label={trans.__('Deploy…')} primary onClick={() => void deploy()} />
    </>
  );
}
