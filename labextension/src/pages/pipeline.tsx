import * as React from 'react';

import { shortId } from '../format/text';
import type { PipelineRun, StageRun } from '../api/types';
import { useWorkbench } from '../components/context';
import { showForm } from '../components/forms';
import { useNow, useResource } from '../components/hooks';
import { EmptyState } from '../components/notices';
import { Action, Page, PagePlaceholder, Section } from '../components/page';
import { showPipelineForm } from '../components/pipeline-form';
import { StateBadge, StateDot } from '../components/status';
import { Facts, Table } from '../components/table';
import { Ago, Span } from '../components/times';
import { isActive } from '../format/states';
import { pipelineIcon } from '../icons';
import { snippet } from '../snippets';

/** Page of a pipeline: stages and details of one run, and a list of all runs. */
export function PipelinePage({ name }: { name: string }): React.ReactElement {
  const { model, trans } = useWorkbench();
  const specs = useResource(model.pipelines);
  const history = useResource(model.pipelineRuns);
  const [chosen, setChosen] = React.useState<string | null>(null);

  const problem = specs.problem ?? history.problem;
  const retry = (): void => {
    void model.pipelines.refresh();
    void model.pipelineRuns.refresh();
  };
  if (specs.value === null || history.value === null) {
    return <PagePlaceholder problem={problem} retry={retry} />;
  }
  const spec = specs.value.find(item => item.name === name);
  const runs = history.value.filter(run => run.pipeline === name);
  const shown = runs.find(run => run.id === chosen) ?? runs[0];

  const start = async (): Promise<void> => {
    if (spec) {
      const started = await showPipelineForm(spec, model, trans);
      if (started) {
        setChosen(started.id);
      }
    }
  };
  return (
    <Page
      icon={pipelineIcon}
      kind={trans.__('Pipeline')}
      title={name}
      badge={shown && <StateBadge state={shown.state} />}
      problem={problem}
      retry={retry}
      facts={[
        spec && <code>{spec.path}</code>,
        spec && trans._n('%1 stage', '%1 stages', spec.stages.length),
        trans._n('%1 recent run', '%1 recent runs', runs.length)
      ]}
      actions={
        <>
          {shown && isActive(shown.state) && <CancelAction run={shown} />}
          <Action
            label={trans.__('Run…')}
            primary
            disabled={spec === undefined || spec.problem !== ''}
            onClick={() => void start()}
          />
        </>
      }
    >
      {spec?.problem && (
        <div className="mw-problem" role="alert">
          <p className="mw-problem-message">{trans.__('This pipeline cannot run.')}</p>
          <p className="mw-problem-hint">{spec.problem}</p>
        </div>
      )}
      {shown ? (
        <RunDetail run={shown} />
      ) : (
        <EmptyState
          icon={pipelineIcon}
          title={trans.__('No runs yet')}
          cells={snippet('run-pipeline', { pipeline: name })}
        />
      )}
      {runs.length > 0 && (
        <Section title={trans.__('Runs')} count={runs.length}>
          <RunTable runs={runs} shown={shown} onChoose={setChosen} />
        </Section>
      )}
    </Page>
  );
}

/** Looks of a run's message by its state. */
const NOTICES: Partial<Record<PipelineRun['state'], string>> = {
  failed: 'mw-problem',
  not_published: 'mw-note mw-note-warn'
};

function RunDetail({ run }: { run: PipelineRun }): React.ReactElement {
  const { trans, open } = useWorkbench();
  const params = Object.entries(run.params);
  return (
    <>
      {run.message && (
        <div className={NOTICES[run.state] ?? 'mw-note'} role="status">
          {run.message}
        </div>
      )}
      <Section
        title={trans.__('Stages')}
        count={run.stages.length}
        aside={
          <span className="mw-quiet">
            <Ago ms={run.start_ms} />
            {' · '}
            <Span startMs={run.start_ms} endMs={run.end_ms} running={isActive(run.state)} />
          </span>
        }
      >
        <Stages run={run} />
      </Section>
      <div className="mw-columns">
        <Section title={trans.__('Parameters')} count={params.length}>
          {params.length > 0 ? (
            <Facts
              label={trans.__('Parameters')}
              facts={params.map(([name, value]) => [name, <code key={name}>{String(value)}</code>])}
            />
          ) : (
            <p className="mw-quiet">{trans.__('No parameters.')}</p>
          )}
        </Section>
        <Section title={trans.__('Run details')}>
          <Facts
            label={trans.__('Run details')}
            facts={[
              [trans.__('Id'), <code key="id">{run.id}</code>],
              [trans.__('Started by'), run.reason],
              [trans.__('Published'), run.published || '–'],
              [
                trans.__('Run'),
                run.run_uid ? (
                  <button
                    key="run"
                    type="button"
                    className="mw-link"
                    onClick={() => open('run', run.run_uid)}
                  >
                    {shortId(run.run_uid)}
                  </button>
                ) : (
                  '–'
                )
              ]
            ]}
          />
        </Section>
      </div>
    </>
  );
}

/** Stages as a Gantt chart: each bar shows when a stage ran within the whole run. */
function Stages({ run }: { run: PipelineRun }): React.ReactElement {
  const { trans } = useWorkbench();
  const now = useNow(isActive(run.state) ? 1000 : 0);
  const end = run.end_ms || now;
  const whole = Math.max(1, end - run.start_ms);
  return (
    <ol className="mw-stages" aria-label={trans.__('Stages')}>
      {run.stages.map(stage => (
        <Stage key={stage.name} stage={stage} origin={run.start_ms} whole={whole} end={end} />
      ))}
    </ol>
  );
}

function Stage({
  stage,
  origin,
  whole,
  end
}: {
  stage: StageRun;
  origin: number;
  whole: number;
  end: number;
}): React.ReactElement {
  const { trans, open } = useWorkbench();
  const started = stage.start_ms > 0;
  const left = started ? (stage.start_ms - origin) / whole : 0;
  const width = started ? ((stage.end_ms || end) - stage.start_ms) / whole : 0;
  const running = stage.state === 'running';
  return (
    <li className={`mw-stage mw-stage-${stage.state}`}>
      <StateDot state={stage.state} />
      <div className="mw-stage-name">
        {stage.run_uid ? (
          <button type="button" className="mw-link" onClick={() => open('run', stage.run_uid)}>
            {stage.name}
          </button>
        ) : (
          <span>{stage.name}</span>
        )}
        <code title={stage.notebook}>{stage.notebook}</code>
      </div>
      <div className="mw-stage-track" aria-hidden="true">
        <div
          className="mw-stage-bar"
          style={{ left: `${100 * left}%`, width: `max(3px, ${100 * width}%)` }}
          hidden={!started}
        />
      </div>
      <span className="mw-stage-cells mw-number">
        {stage.cells_total > 0 && trans.__('%1 of %2 cells', stage.cells, stage.cells_total)}
      </span>
      <Span startMs={stage.start_ms} endMs={stage.end_ms} running={running} />
      {running && stage.cells_total > 0 && (
        <progress
          className="mw-stage-progress"
          max={stage.cells_total}
          value={stage.cells}
          aria-label={trans.__('Progress of %1', stage.name)}
        />
      )}
      {stage.message && <p className="mw-stage-message">{stage.message}</p>}
    </li>
  );
}

function RunTable({
  runs,
  shown,
  onChoose
}: {
  runs: PipelineRun[];
  shown: PipelineRun;
  onChoose: (id: string) => void;
}): React.ReactElement {
  const { trans } = useWorkbench();
  return (
    <Table
      label={trans.__('Runs')}
      rows={runs}
      rowKey={row => row.id}
      rowClass={row => (row.id === shown.id ? 'mw-chosen' : '')}
      columns={[
        {
          key: 'id',
          label: trans.__('Run'),
          cell: row => (
            <button
              type="button"
              className="mw-link"
              aria-pressed={row.id === shown.id}
              onClick={() => onChoose(row.id)}
            >
              <StateDot state={row.state} />
              <span title={row.id}>{shortId(row.id)}</span>
            </button>
          )
        },
        { key: 'reason', label: trans.__('Started by'), cell: row => row.reason },
        {
          key: 'message',
          label: trans.__('Result'),
          grow: true,
          cell: row => row.published || row.message
        },
        { key: 'start', label: trans.__('Started'), cell: row => <Ago ms={row.start_ms} /> },
        {
          key: 'time',
          label: trans.__('Duration'),
          numeric: true,
          cell: row => (
            <Span startMs={row.start_ms} endMs={row.end_ms} running={isActive(row.state)} />
          )
        }
      ]}
    />
  );
}

function CancelAction({ run }: { run: PipelineRun }): React.ReactElement {
  const { model, trans } = useWorkbench();
  const cancel = (): Promise<unknown> =>
    showForm(
      {
        title: trans.__('Cancel this run of %1?', run.pipeline),
        intro: trans.__('Running stages are stopped. Results of finished stages are kept.'),
        accept: trans.__('Cancel run'),
        dismiss: trans.__('Keep running'),
        danger: true,
        submit: () =>
          model.client.cancelPipelineRun(run.id).finally(() => void model.pipelineRuns.refresh())
      },
      trans
    );
  return <Action label={trans.__('Cancel…')} danger onClick={() => void cancel()} />;
}
