import * as React from 'react';
import type { TranslationBundle } from '@jupyterlab/translation';

import { shortId } from '../format/text';
import type { GateResult, ModelVersion, SignatureColumn } from '../api/types';
import { useWorkbench } from '../components/context';
import { useResource } from '../components/hooks';
import { EmptyState, Snippet } from '../components/notices';
import { Params } from '../components/params';
import { Page, PagePlaceholder, Section } from '../components/page';
import { Chip, Dot } from '../components/status';
import { Facts, Table } from '../components/table';
import { Ago } from '../components/times';
import { championFirst } from '../format/aliases';
import { formatNumber } from '../format/numbers';
import { modelIcon } from '../icons';
import { snippet } from '../snippets';
import { ModelActions } from './model-actions';

/** Page of a registered model: its versions and the details of one. */
export function ModelPage({ name }: { name: string }): React.ReactElement {
  const { model, trans } = useWorkbench();
  const resource = React.useMemo(() => model.versions(name), [model, name]);
  const { value: versions, problem } = useResource(resource);
  const [chosen, setChosen] = React.useState<number | null>(null);

  if (versions === null) {
    return <PagePlaceholder problem={problem} retry={() => void resource.refresh()} />;
  }
  const champion = versions.find(version => version.aliases.includes('champion'));
  const shown =
    versions.find(version => version.version === chosen) ?? champion ?? versions[0] ?? null;
  return (
    <Page
      icon={modelIcon}
      kind={trans.__('Registered model')}
      title={name}
      badge={
        champion && <Chip tone="accent">{trans.__('champion: version %1', champion.version)}</Chip>
      }
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
          title={trans.__('No versions yet')}
          cells={snippet('register', { model: name })}
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
  // Versions are compared by the metrics of the newest one.
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
        {
          key: 'aliases',
          label: trans.__('Aliases'),
          grow: true,
          cell: row => <Aliases version={row} />
        },
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
      {[...version.aliases].sort(championFirst).map(alias => (
        <React.Fragment key={alias}>
          <Chip tone={alias === 'champion' ? 'accent' : 'idle'}>{alias}</Chip>{' '}
        </React.Fragment>
      ))}
    </>
  );
}

function signedBy(version: ModelVersion, trans: TranslationBundle): string {
  const key = version.signed_by.slice(0, 16);
  switch (version.signature) {
    case 'none':
      return '–';
    case 'wrong':
      return trans.__('wrong signature');
    case 'unknown':
      return trans.__('%1 (not trusted here)', key);
    default:
      return key;
  }
}

/** The runtime that was proven when the version was registered. */
function answeredBy({ runtime }: ModelVersion, trans: TranslationBundle): string {
  if (runtime === null) {
    return '–';
  }
  const name = runtime.uncompiled ? `${runtime.name} (${runtime.uncompiled})` : runtime.name;
  return runtime.rows > 0
    ? trans.__('%1, proven on %2 rows', name, formatNumber(runtime.rows))
    : trans.__('%1, without a proof', name);
}

function GateMark({ gate }: { gate: GateResult | null }): React.ReactElement {
  const { trans } = useWorkbench();
  if (gate === null) {
    return <span className="mw-quiet">{trans.__('No gate')}</span>;
  }
  return (
    <span className="mw-marked">
      <Dot
        tone={gate.passed ? 'good' : 'bad'}
        label={gate.passed ? trans.__('Passed') : trans.__('Failed')}
      />
      <span aria-hidden="true">{gate.passed ? trans.__('passed') : trans.__('failed')}</span>
    </span>
  );
}

function VersionDetail({ version }: { version: ModelVersion }): React.ReactElement {
  const { trans, open } = useWorkbench();
  const metrics = Object.entries(version.metrics);
  return (
    <>
      <h2 className="mw-subject">{trans.__('Version %1', version.version)}</h2>
      {version.problem && (
        <p className="mw-note">{trans.__('It cannot be deployed: %1', version.problem)}</p>
      )}
      {version.untrusted.length > 0 && (
        <p className="mw-note">
          {trans.__('It cannot be deployed before its types are trusted:')}{' '}
          <code>{`mlops trust ${version.untrusted.join(' ')}`}</code>
        </p>
      )}
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
                    <button
                      type="button"
                      className="mw-link"
                      onClick={() => open('run', version.run_uid)}
                    >
                      {shortId(version.run_uid)}
                    </button>
                  ) : (
                    '–'
                  )
                ],
                [trans.__('Estimator'), version.estimator || '–'],
                [trans.__('Format'), version.format || '–'],
                [trans.__('Answered by'), answeredBy(version, trans)],
                [trans.__('Signed by'), signedBy(version, trans)],
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
        <Section title={trans.__('Parameters')} count={Object.keys(version.params).length}>
          <Params params={version.params} />
        </Section>
      </div>
      <Signature inputs={version.inputs} outputs={version.outputs} />
      <Section title={trans.__('Load this version')}>
        <Snippet
          cells={snippet('load-version', { model: version.name, version: version.version })}
        />
      </Section>
    </>
  );
}

function Gate({ gate }: { gate: GateResult }): React.ReactElement {
  const { trans } = useWorkbench();
  return (
    <Section title={trans.__('Gate')} count={gate.checks.length} aside={<Ago ms={gate.at_ms} />}>
      {gate.override && (
        <p className="mw-note">{trans.__('Promoted although it failed: %1', gate.override)}</p>
      )}
      <ul className="mw-checks" aria-label={trans.__('Conditions of the gate')}>
        {gate.checks.map(check => (
          <li key={check.condition}>
            <Dot
              tone={check.passed ? 'good' : 'bad'}
              label={check.passed ? trans.__('Passed') : trans.__('Failed')}
            />
            <code>{check.condition}</code> <span className="mw-quiet">{check.detail}</span>
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
            </span>{' '}
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
