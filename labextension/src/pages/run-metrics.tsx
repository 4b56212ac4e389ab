import * as React from 'react';

import type { MetricPoint, RunDetail } from '../api/types';
import { LineChart } from '../components/chart';
import { useWorkbench } from '../components/context';
import { Fold } from '../components/fold';
import { EmptyState } from '../components/notices';
import { Section } from '../components/page';
import { metricNames, resourceName } from '../format/metrics';
import { finiteNumber, formatNumber } from '../format/numbers';
import { runIcon } from '../icons';
import { snippet } from '../snippets';

/** Metrics that the code of a run logged. */
export function RunMetrics({ detail }: { detail: RunDetail }): React.ReactElement {
  const { trans } = useWorkbench();
  const names = metricNames(detail.run.metrics);
  return (
    <Section title={trans.__('Metrics')} count={names.length}>
      {names.length === 0 && <NoMetric finished={detail.run.status === 'FINISHED'} />}
      <Values detail={detail} names={names} labelOf={name => name} />
    </Section>
  );
}

/** System metrics of a run: the resources that it used. */
export function RunResources({ detail }: { detail: RunDetail }): React.ReactElement | null {
  const { trans } = useWorkbench();
  const { metrics, tags } = detail.run;
  const used = (name: string): boolean =>
    metrics[name] !== 0 || (detail.history[name] ?? []).some(point => point.value !== 0);
  const all = metricNames(metrics, true);
  const names = [...all.filter(used), ...all.filter(name => !used(name))];
  return names.length === 0 ? null : (
    <Section title={trans.__('Resources')} count={names.length}>
      <Fold
        count={names.length}
        first={names.filter(used).length}
        show={shown => (
          <Values
            detail={detail}
            names={names.slice(0, shown)}
            labelOf={name => resourceName(name, tags)}
          />
        )}
      />
    </Section>
  );
}

/** Single values as tiles, values over steps as charts. */
function Values({
  detail,
  names,
  labelOf
}: {
  detail: RunDetail;
  names: string[];
  labelOf: (name: string) => string;
}): React.ReactElement {
  const { trans } = useWorkbench();
  const { run, history } = detail;
  const curves = names.filter(name => (history[name] ?? []).length > 1);
  const single = names.filter(name => !curves.includes(name));
  return (
    <>
      {single.length > 0 && (
        <div className="mw-metrics">
          {single.map(name => (
            <div className="mw-metric" key={name}>
              <span className="mw-metric-name" title={name}>
                {labelOf(name)}
              </span>
              <span
                className="mw-metric-value mw-number"
                title={String(run.metrics[name] ?? trans.__('unknown'))}
              >
                {formatNumber(run.metrics[name])}
              </span>
            </div>
          ))}
        </div>
      )}
      {curves.length > 0 && (
        <div className="mw-charts">
          {curves.map(name => (
            <Curve key={name} name={labelOf(name)} points={history[name]} />
          ))}
        </div>
      )}
    </>
  );
}

function NoMetric({ finished }: { finished: boolean }): React.ReactElement {
  const { trans } = useWorkbench();
  // A run that still runs or that failed may not have reached the code that logs metrics.
  return finished ? (
    <EmptyState icon={runIcon} title={trans.__('No metrics')} cells={snippet('metrics-of-a-loop')}>
      {trans.__('Scores that a cell assigns are captured automatically. Log others with log().')}
    </EmptyState>
  ) : (
    <p className="mw-quiet">{trans.__('No metrics.')}</p>
  );
}

function Curve({ name, points }: { name: string; points: MetricPoint[] }): React.ReactElement {
  const { trans } = useWorkbench();
  // If all points have the same step, their order is the horizontal axis.
  const stepped = points.some(point => point.step !== points[0].step);
  const last = points[points.length - 1];
  return (
    <LineChart
      title={name}
      value={formatNumber(last.value)}
      points={points.map((point, index) => ({
        x: stepped ? point.step : index,
        y: finiteNumber(point.value)
      }))}
      even
      labelOf={formatNumber}
      summary={trans.__(
        '%1 over %2 steps, from %3 to %4',
        name,
        points.length,
        formatNumber(points[0].value),
        formatNumber(last.value)
      )}
    />
  );
}
