import * as React from 'react';

import type { GateResult, ModelVersion, SignatureColumn } from '../api/types';
import { useWorkbench } from '../components/context';
import { askFields, attempt, confirm } from '../components/dialogs';
import { useResource } from '../components/hooks';
import { EmptyState, Loading, ProblemNotice, Snippet } from '../components/notices';
import { Action, Page, Section } from '../components/page';
import { Chip, Dot } from '../components/status';
import { Facts, Table } from '../components/table';
import { Ago } from '../components/times';
import { formatNumber } from '../format/numbers';
import { lines } from '../format/text';
import { modelIcon } from '../icons';

/** A registered model: its versions, and what may be done with them. */
export function ModelPage({ name }: { name: string }): React.ReactElement {
  const { model, trans } = useWorkbench();
  const resource = React.useMemo(() => model.versions(name), [model, name]);
  const { value: versions, problem } = useResource(resource);
  const [chosen, setChosen] = React.useState<number | null>(null);

  if (versions === null) {
    return (
      <article className="mw-page">
        {problem ? (
          <ProblemNotice problem={problem} retry={() => void resource.refresh()} />
        ) : (
          <Loading lines={6} />
        )}
      </article>
    );
  }
  const champion = versions.find(version => version.aliases.includes('champion'));
  const shown =
    versions.find(version => version.version === chosen) ?? champion ?? versions[0] ?? null;
  return (
    <Page
      icon={modelIcon}
      kind={trans.__('Registered model')}
      title={name}
      badge={champion && <Chip tone="accent">{trans.__('champion is version %1', champion.version)}</Chip>}
      problem={problem}
      retry={() => void resource.refresh()}
      facts={[
        trans._n('%1 version', '%1 versions', versions.length),
        versions[0] && (
          <>
            {trans.__('Last registered')} <Ago ms={versions[0].created_ms} />
          </>
        )
      ]}
      actions={shown && <ModelActions version={shown} versions={versions} />}
    >
      {shown === null ? (
        <EmptyState
          icon={modelIcon}
          title={trans.__('No version yet')}
          code={`%mlops register RUN --as ${name}`}
        />
      ) : (
        <>
          <Section title={trans.__('Versions')} count={versions.length}>
            <VersionTable versions={versions} shown={shown} onChoose={setChosen} />
          </Section>
          <VersionDetail version={shown} />
        </>
      )}
    </Page>
  );
}

function VersionTable({
  versions,
  shown,
  onChoose
}: {
  versions: ModelVersion[];
  shown: ModelVersion;
  onChoose: (version: number) => void;
}): React.ReactElement {
  const { trans } = useWorkbench();
  // The metrics that the newest version has are what versions are compared by.
  const metrics = Object.keys(versions[0].metrics).slice(0, 4);
  return (
    <Table
      label={trans.__('Versions')}
      rows={versions}
      rowKey={row => String(row.version)}
      rowClass={row => (row.version === shown.version ? 'mw-chosen' : '')}
      columns={[
        {
          key: 'version',
          label: trans.__('Version'),
          cell: row => (
            <button
              type="button"
              className="mw-link"
              aria-pressed={row.version === shown.version}
              onClick={() => onChoose(row.version)}
            >
              {trans.__('Version %1', row.version)}
            </button>
          )
        },
        { key: 'aliases', label: trans.__('Aliases'), grow: true, cell: row => <Aliases version={row} /> },
        ...metrics.map(metric => ({
          key: `metric.${metric}`,
          label: metric,
          numeric: true,
          cell: (row: ModelVersion) => formatNumber(row.metrics[metric])
        })),
        { key: 'gate', label: trans.__('Gate'), cell: row => <GateMark gate={row.gate} /> },
        { key: 'created', label: trans.__('Registered'), cell: row => <Ago ms={row.created_ms} /> }
      ]}
    />
  );
}

function Aliases({ version }: { version: ModelVersion }): React.ReactElement {
  return (
    <>
      {version.aliases.map(alias => (
        <Chip key={alias} tone={alias === 'champion' ? 'accent' : 'idle'}>
          {alias}
        </Chip>
      ))}
    </>
  );
}

function GateMark({ gate }: { gate: GateResult | null }): React.ReactElement {
  const { trans } = useWorkbench();
  if (gate === null) {
    return <span className="mw-quiet">{trans.__('none')}</span>;
  }
  return (
    <span className="mw-marked">
      <Dot
        tone={gate.passed ? 'good' : 'bad'}
        label={gate.passed ? trans.__('Passed') : trans.__('Not passed')}
      />
      <span aria-hidden="true">{gate.passed ? trans.__('passed') : trans.__('not passed')}</span>
    </span>
  );
}

function VersionDetail({ version }: { version: ModelVersion }): React.ReactElement {
  const { trans, open } = useWorkbench();
  const params = Object.entries(version.params).sort(([one], [other]) => one.localeCompare(other));
  const metrics = Object.entries(version.metrics);
  return (
    <>
      <h2 className="mw-subject">{trans.__('Version %1', version.version)}</h2>
      {version.gate && <Gate gate={version.gate} />}
      <div className="mw-columns">
        <div>
          <Section title={trans.__('Origin')}>
            <Facts
              label={trans.__('Origin')}
              facts={[
                [
                  trans.__('Run'),
                  version.run_uid ? (
                    <button type="button" className="mw-link" onClick={() => open('run', version.run_uid)}>
                      {version.run_uid.slice(0, 12)}
                    </button>
                  ) : (
                    '–'
                  )
                ],
                [trans.__('Estimator'), version.estimator || '–'],
                [trans.__('Format'), version.format || '–'],
                ...(version.description
                  ? ([[trans.__('Description'), version.description]] as [string, string][])
                  : [])
              ]}
            />
          </Section>
          <Section title={trans.__('Metrics')} count={metrics.length}>
            <Facts
              label={trans.__('Metrics')}
              facts={metrics.map(([name, value]) => [
                name,
                <span key={name} className="mw-number">
                  {formatNumber(value)}
                </span>
              ])}
            />
          </Section>
        </div>
        <Section title={trans.__('Parameters')} count={params.length}>
          <Facts
            label={trans.__('Parameters')}
            facts={params.map(([name, value]) => [name, <code key={name}>{value}</code>])}
          />
        </Section>
      </div>
      <Signature inputs={version.inputs} outputs={version.outputs} />
      <Section title={trans.__('Use it')}>
        <Snippet
          code={`import mlflow\n\nmodel = mlflow.pyfunc.load_model("models:/${version.name}/${version.version}")`}
        />
      </Section>
    </>
  );
}

function Gate({ gate }: { gate: GateResult }): React.ReactElement {
  const { trans } = useWorkbench();
  return (
    <Section title={trans.__('Gate')} count={gate.checks.length} aside={<Ago ms={gate.at_ms} />}>
      <ul className="mw-checks" aria-label={trans.__('Conditions of the gate')}>
        {gate.checks.map(check => (
          <li key={check.condition}>
            <Dot
              tone={check.passed ? 'good' : 'bad'}
              label={check.passed ? trans.__('Passed') : trans.__('Not passed')}
            />
            <code>{check.condition}</code>
            <span className="mw-quiet">{check.detail}</span>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Signature({
  inputs,
  outputs
}: {
  inputs: SignatureColumn[];
  outputs: SignatureColumn[];
}): React.ReactElement | null {
  const { trans } = useWorkbench();
  if (inputs.length + outputs.length === 0) {
    return null;
  }
  const columns = (items: SignatureColumn[], label: string): React.ReactElement => (
    <div>
      <h3>{label}</h3>
      <ul className="mw-signature" aria-label={label}>
        {items.map((column, index) => (
          <li key={column.name || index}>
            <span>
              {column.name || trans.__('unnamed')}
              {column.required ? '' : ` (${trans.__('optional')})`}
            </span>
            <code>{column.dtype}</code>
          </li>
        ))}
      </ul>
    </div>
  );
  return (
    <Section title={trans.__('Signature')} count={inputs.length}>
      <div className="mw-signatures">
        {columns(inputs, trans.__('Inputs'))}
        {columns(outputs, trans.__('Outputs'))}
      </div>
    </Section>
  );
}

function ModelActions({
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
      trans.__('The alias moves to this version. Endpoints that follow the alias switch to it without losing a request.'),
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
    const references = [...version.aliases.map(alias => `${name}@${alias}`), `${name}/${version.version}`];
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
      const endpoint = await attempt(() => model.client.deploy(fields.endpoint.trim(), fields.model));
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
