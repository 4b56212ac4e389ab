import * as React from 'react';

import type { FeatureDrift, MonitorReport, Window } from '../api/types';
import { LineChart } from '../components/chart';
import { useWorkbench } from '../components/context';
import { attempt } from '../components/forms';
import { useResource } from '../components/hooks';
import { EmptyState, Loading } from '../components/notices';
import { Action, Section } from '../components/page';
import { Chip } from '../components/status';
import { Table } from '../components/table';
import { Ago } from '../components/times';
import { finiteNumber, formatChange, formatNumber, formatShare } from '../format/numbers';
import { endpointIcon } from '../icons';
import { snippet } from '../snippets';

/** The monitor of an endpoint: quality and drift in each window of live predictions. */
export function MonitorSection({ endpoint }: { endpoint: string }): React.ReactElement {
  const { model, trans } = useWorkbench();
  const { value: reports } = useResource(model.monitors);
  const report = reports?.find(item => item.spec.endpoint === endpoint);
  const [busy, setBusy] = React.useState(false);
  const evaluate = async (): Promise<void> => {
    setBusy(true);
    await attempt(() => model.client.evaluateMonitor(endpoint));
    await model.monitors.refresh();
    setBusy(false);
  };
  const aside = (
    <>
      {report !== undefined && report.evaluated_ms > 0 && (
        <span className="mw-quiet">
          {trans.__('Evaluated')} <Ago ms={report.evaluated_ms} />
        </span>
      )}
      <Action
        label={busy ? trans.__('Evaluating…') : trans.__('Evaluate now')}
        disabled={busy}
        onClick={() => void evaluate()}
      />
    </>
  );
  return (
    <Section title={trans.__('Monitor')} aside={aside}>
      {reports === null ? (
        <Loading />
      ) : report === undefined || report.windows.length === 0 ? (
        <EmptyState
          icon={endpointIcon}
          title={trans.__('No windows yet')}
          cells={snippet('monitor', { endpoint })}
        >
          {trans.__(
            'Send requests, and the true outcomes as feedback. Each window is compared with the training data.'
          )}
        </EmptyState>
      ) : (
        <Report report={report} />
      )}
    </Section>
  );
}

function Report({ report }: { report: MonitorReport }): React.ReactElement {
  const { trans } = useWorkbench();
  const { spec, windows } = report;
  const known = windows.filter(window => window.quality !== null);
  const reference = windows.find(window => window.reference_quality !== null)?.reference_quality;
  const labelOf = (index: number): string => windows[index]?.label ?? '';
  return (
    <>
      <p className="mw-quiet mw-monitor-spec">
        {trans.__(
          'One window per %1. Alert when %2 degrades by more than %3.',
          spec.window,
          spec.metric,
          formatShare(spec.max_degradation)
        )}{' '}
        {spec.pipeline
          ? trans.__('Retraining on alert: pipeline %1.', spec.pipeline)
          : trans.__('No retraining on alert.')}
      </p>
      <div className="mw-charts mw-charts-wide">
        {known.length > 1 && (
          <LineChart
            title={trans.__('%1 of live predictions', spec.metric)}
            value={formatNumber(known[known.length - 1].quality)}
            points={windows.map((window, index) => ({ x: index, y: finiteNumber(window.quality) }))}
            tones={windows.map(window => (window.degraded ? 'bad' : null))}
            labelOf={labelOf}
            reference={
              typeof reference === 'number'
                ? { value: reference, label: trans.__('training data') }
                : undefined
            }
            summary={trans.__(
              '%1 per window, from %2 to %3; on the training data %4',
              spec.metric,
              formatNumber(known[0].quality),
              formatNumber(known[known.length - 1].quality),
              formatNumber(reference ?? null)
            )}
          />
        )}
        {windows.length > 1 && (
          <LineChart
            title={trans.__('Rows')}
            value={formatNumber(windows[windows.length - 1].rows)}
            points={windows.map((window, index) => ({ x: index, y: window.rows }))}
            labelOf={labelOf}
            summary={trans.__('Rows predicted per window')}
          />
        )}
      </div>
      <WindowTable windows={windows} metric={spec.metric} />
      <DriftTable windows={windows} />
    </>
  );
}

function WindowTable({
  windows,
  metric
}: {
  windows: Window[];
  metric: string;
}): React.ReactElement {
  const { trans } = useWorkbench();
  const verdict = (row: Window): React.ReactElement => (
    <>
      {row.degraded && <Chip tone="bad">{trans.__('degraded')}</Chip>}{' '}
      {row.drifted && <Chip tone="warn">{trans.__('drift')}</Chip>}
      {!row.degraded && !row.drifted && (
        <span className="mw-quiet">{trans.__('within limits')}</span>
      )}
      {row.note && <span className="mw-quiet"> · {row.note}</span>}
    </>
  );
  return (
    <Table
      label={trans.__('Windows')}
      rows={windows}
      rowKey={row => row.label}
      columns={[
        { key: 'label', label: trans.__('Window'), cell: row => row.label },
        {
          key: 'rows',
          label: trans.__('Rows'),
          numeric: true,
          cell: row => formatNumber(row.rows)
        },
        {
          key: 'truth',
          label: trans.__('Labelled'),
          numeric: true,
          cell: row => formatShare(row.coverage)
        },
        { key: 'quality', label: metric, numeric: true, cell: row => formatNumber(row.quality) },
        { key: 'change', label: trans.__('Change'), numeric: true, cell: row => change(row) },
        {
          key: 'versions',
          label: trans.__('Version'),
          numeric: true,
          cell: row => row.versions.join(', ')
        },
        { key: 'verdict', label: trans.__('Status'), grow: true, cell: verdict }
      ]}
    />
  );
}

function change(window: Window): string {
  const quality = finiteNumber(window.quality);
  const reference = finiteNumber(window.reference_quality);
  return quality === null || reference === null || reference === 0
    ? '–'
    : formatChange(quality / reference - 1, percent);
}

const percent = (value: number | null): string => formatShare(value, 1);

/** Drift of every column in every window: the more a cell is beyond its limit, the darker it is. */
function DriftTable({ windows }: { windows: Window[] }): React.ReactElement | null {
  const { trans } = useWorkbench();
  const names = [...new Set(windows.flatMap(window => window.features.map(item => item.name)))];
  if (names.length === 0) {
    return null;
  }
  const byWindow = windows.map(
    window => new Map(window.features.map(item => [item.name, item] as const))
  );
  return (
    <div className="mw-table-frame mw-drift">
      <table className="mw-table" aria-label={trans.__('Drift by column and window')}>
        <caption>{trans.__('Drift by column: distance from the training data')}</caption>
        <thead>
          <tr>
            <th scope="col">{trans.__('Column')}</th>
            {windows.map(window => (
              <th key={window.label} scope="col" className="mw-number">
                {window.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {names.map(name => (
            <tr key={name}>
              <th scope="row">{name === 'prediction' ? <em>{name}</em> : name}</th>
              {byWindow.map((features, index) => (
                <DriftCell key={windows[index].label} drift={features.get(name)} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function DriftCell({ drift }: { drift: FeatureDrift | undefined }): React.ReactElement {
  const { trans } = useWorkbench();
  if (drift === undefined) {
    return <td className="mw-number mw-quiet">–</td>;
  }
  // What is within limits has no colour; the full shade is that of three times the threshold.
  const ratio = drift.floor > 0 ? drift.effect / drift.floor : drift.effect;
  const shade = drift.drifted ? Math.min(1, Math.max(ratio, 1) / 3) : 0;
  const title = trans.__(
    'effect size %1 (threshold %2), p-value %3, change of missing values %4',
    formatNumber(drift.effect),
    formatNumber(drift.floor),
    formatNumber(drift.p_value),
    formatChange(drift.missing_change, percent)
  );
  const style = { '--mw-shade': `${Math.round(shade * 100)}%` } as React.CSSProperties;
  return (
    <td
      className={`mw-number mw-drift-cell${drift.drifted ? ' mw-drifted' : ''}`}
      style={style}
      title={title}
    >
      {formatNumber(drift.effect)}
    </td>
  );
}
