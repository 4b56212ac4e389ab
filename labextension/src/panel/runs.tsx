import { HTMLSelect } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { Run } from '../api/types';
import { useWorkbench } from '../components/context';
import { useResource, useSignalValue } from '../components/hooks';
import { List, Row } from '../components/list';
import { EmptyState, Loading, ProblemNotice } from '../components/notices';
import { StateDot } from '../components/status';
import { Ago, Span } from '../components/times';
import { metricNames } from '../format/metrics';
import { formatNumber, type JsonNumber } from '../format/numbers';
import { runIcon } from '../icons';
import { snippet } from '../snippets';

/** The newest runs, of one experiment or of all. */
export function RunsSection(): React.ReactElement {
  const { model, trans } = useWorkbench();
  const { value: runs, problem } = useResource(model.runs);
  const metric = useSignalValue(
    model.preferences.changed,
    () => model.preferences.values.runMetric
  );
  return (
    <div className="mw-panel-section">
      <ExperimentFilter />
      {problem && <ProblemNotice problem={problem} retry={() => void model.runs.refresh()} />}
      {runs === null ? (
        !problem && <Loading />
      ) : runs.length === 0 ? (
        <EmptyState icon={runIcon} title={trans.__('No runs yet')} cells={snippet('first-run')}>
          {trans.__('Write %1 on the first line of a cell and run the cell.', '%%track')}
        </EmptyState>
      ) : (
        <List label={trans.__('Runs')}>
          {runs.map(run => (
            <RunRow key={run.uid} run={run} metric={metric} />
          ))}
        </List>
      )}
    </div>
  );
}

function RunRow({ run, metric }: { run: Run; metric: string }): React.ReactElement {
  const { trans, open } = useWorkbench();
  const running = run.status === 'RUNNING';
  const [name, value] = metricOf(run, metric);
  return (
    <Row
      mark={<StateDot state={run.status} />}
      title={run.name}
      value={name && <span title={name}>{formatNumber(value)}</span>}
      detail={
        <>
          {run.kind !== 'run' && `${run.kind} · `}
          {running ? (
            <Span startMs={run.start_ms} endMs={run.end_ms} running />
          ) : (
            <Ago ms={run.start_ms} />
          )}
          {run.error && <span className="mw-row-error"> · {run.error}</span>}
        </>
      }
      aside={name}
      hint={trans.__('Run %1 of the experiment %2', run.name, run.experiment)}
      onOpen={keep => open('run', run.uid, keep)}
    />
  );
}

/** Name and value of the metric in a run's row: the chosen one, or the first without a choice. */
export function metricOf(run: Run, chosen: string): [string, JsonNumber | null] {
  if (chosen !== '' && chosen in run.metrics) {
    return [chosen, run.metrics[chosen]];
  }
  const [first] = metricNames(run.metrics);
  return first !== undefined && chosen === '' ? [first, run.metrics[first]] : ['', null];
}

function ExperimentFilter(): React.ReactElement | null {
  const { model, trans } = useWorkbench();
  const { value: experiments } = useResource(model.experiments);
  const experiment = useSignalValue(model.experimentChanged, () => model.experiment);
  if (!experiments || experiments.length < 2) {
    return null;
  }
  return (
    <HTMLSelect
      className="mw-filter"
      value={experiment}
      aria-label={trans.__('Experiment')}
      onChange={event => model.selectExperiment(event.target.value)}
    >
      <option value="">{trans.__('All experiments')}</option>
      {experiments.map(item => (
        <option key={item.name} value={item.name}>
          {item.name} ({formatNumber(item.runs)})
        </option>
      ))}
    </HTMLSelect>
  );
}
