import * as React from 'react';

import type { MetricPoint, RunDetail } from '../api/types';
import { ArtifactTable, Figure, isFigure } from '../components/artifacts';
import { LineChart } from '../components/chart';
import { useWorkbench } from '../components/context';
import { attempt, askFields } from '../components/dialogs';
import { useResource } from '../components/hooks';
import { EmptyState, Loading, ProblemNotice } from '../components/notices';
import { Action, Page, Section } from '../components/page';
import { Output, Source } from '../components/rendered';
import { Chip, StateBadge, StateDot } from '../components/status';
import { Facts, Table } from '../components/table';
import { Ago, Span } from '../components/times';
import { formatCount, formatNumber } from '../format/numbers';
import { basename, lines } from '../format/text';
import { runIcon } from '../icons';

/** A run: what went in, what came out. */
export function RunPage({
  uid,
  setTitle
}: {
  uid: string;
  setTitle: (title: string) => void;
}): React.ReactElement {
  const { model, trans } = useWorkbench();
  const resource = React.useMemo(() => model.run(uid), [model, uid]);
  const { value: detail, problem } = useResource(resource);
  const name = detail?.run.name;
  React.useEffect(() => {
    if (name) {
      setTitle(name);
    }
  }, [name, setTitle]);

  if (detail === null) {
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
  const { run } = detail;
  const running = run.status === 'RUNNING';
  return (
    <Page
      icon={runIcon}
      kind={kindName(run.kind, trans.__('Run'), trans.__('Pipeline run'), trans.__('Stage'))}
      title={run.name}
      badge={<StateBadge state={run.status} />}
      problem={problem}
      retry={() => void resource.refresh()}
      facts={[
        trans.__('Experiment %1', run.experiment),
        <>
          {trans.__('Started')} <Ago ms={run.start_ms} />
        </>,
        <>
          {running ? trans.__('Running for') : trans.__('Took')}{' '}
          <Span startMs={run.start_ms} endMs={run.end_ms} running={running} />
        </>,
        run.notebook && <code title={run.notebook}>{basename(run.notebook)}</code>,
        <code title={trans.__('Run id: %1', run.uid)}>{run.uid.slice(0, 12)}</code>
      ]}
      actions={<RegisterAction detail={detail} />}
    >
      <Failure detail={detail} />
      <Metrics detail={detail} />
      <div className="mw-columns">
        <Params detail={detail} />
        <div>
          <Models detail={detail} />
          <Datasets detail={detail} />
        </div>
      </div>
      <Children detail={detail} />
      <Figures detail={detail} />
      {detail.source && (
        <Section title={trans.__('Source')}>
          <Source code={detail.source} />
        </Section>
      )}
      {detail.output && (
        <Section title={trans.__('Output')}>
          <Output text={detail.output} />
        </Section>
      )}
      <Files detail={detail} />
      <Tags detail={detail} />
    </Page>
  );
}

interface IPart {
  detail: RunDetail;
}

function Failure({ detail }: IPart): React.ReactElement | null {
  const { trans } = useWorkbench();
  const { run, traceback } = detail;
  if (!run.error && !traceback) {
    return null;
  }
  return (
    <Section title={trans.__('Why it ended')}>
      {traceback ? <Output text={traceback} error /> : <Output text={run.error} error />}
    </Section>
  );
}

function Metrics({ detail }: IPart): React.ReactElement {
  const { trans } = useWorkbench();
  const names = Object.keys(detail.run.metrics);
  const curves = names.filter(name => (detail.history[name] ?? []).length > 1);
  const single = names.filter(name => !curves.includes(name));
  return (
    <Section title={trans.__('Metrics')} count={names.length}>
      {names.length === 0 && (
        <EmptyState
          icon={runIcon}
          title={trans.__('No metric yet')}
          code={'from mlops_workbench import log\n\nlog(loss=0.25, step=1)'}
        >
          {trans.__('Scores that a cell assigns are captured on their own; log() adds others.')}
        </EmptyState>
      )}
      {single.length > 0 && (
        <div className="mw-metrics">
          {single.map(name => (
            <div className="mw-metric" key={name}>
              <span className="mw-metric-name" title={name}>
                {name}
              </span>
              <span
                className="mw-metric-value mw-number"
                title={String(detail.run.metrics[name] ?? trans.__('not a finite number'))}
              >
                {formatNumber(detail.run.metrics[name])}
              </span>
            </div>
          ))}
        </div>
      )}
      {curves.length > 0 && (
        <div className="mw-charts">
          {curves.map(name => (
            <Curve key={name} name={name} points={detail.history[name]} />
          ))}
        </div>
      )}
    </Section>
  );
}

function Curve({ name, points }: { name: string; points: MetricPoint[] }): React.ReactElement {
  const { trans } = useWorkbench();
  // Where every step is the same, the order of logging is the axis.
  const stepped = points.some(point => point.step !== points[0].step);
  const last = points[points.length - 1];
  return (
    <LineChart
      title={name}
      value={formatNumber(last.value)}
      points={points.map((point, index) => ({ x: stepped ? point.step : index, y: point.value }))}
      labelOf={x => formatCount(x)}
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

function Params({ detail }: IPart): React.ReactElement {
  const { trans } = useWorkbench();
  const params = Object.entries(detail.run.params).sort(([one], [other]) => one.localeCompare(other));
  return (
    <Section title={trans.__('Parameters')} count={params.length}>
      {params.length > 0 ? (
        <Facts
          label={trans.__('Parameters')}
          facts={params.map(([name, value]) => [name, <code key={name}>{value}</code>])}
        />
      ) : (
        <p className="mw-quiet">{trans.__('None were assigned or logged.')}</p>
      )}
    </Section>
  );
}

function Models({ detail }: IPart): React.ReactElement | null {
  const { trans } = useWorkbench();
  if (detail.models.length === 0) {
    return null;
  }
  return (
    <Section title={trans.__('Models')} count={detail.models.length}>
      <Facts
        label={trans.__('Models')}
        facts={detail.models.map(item => [
          item.name,
          <React.Fragment key={item.name}>
            {item.estimator} <Chip>{item.format}</Chip>
          </React.Fragment>
        ])}
      />
    </Section>
  );
}

function Datasets({ detail }: IPart): React.ReactElement | null {
  const { trans } = useWorkbench();
  if (detail.datasets.length === 0) {
    return null;
  }
  return (
    <Section title={trans.__('Data')} count={detail.datasets.length}>
      <Table
        label={trans.__('Data')}
        rows={detail.datasets}
        rowKey={row => `${row.context}/${row.name}/${row.digest}`}
        columns={[
          { key: 'name', label: trans.__('Name'), cell: row => row.name },
          { key: 'context', label: trans.__('For'), cell: row => row.context, grow: true },
          { key: 'rows', label: trans.__('Rows'), numeric: true, cell: row => formatCount(row.rows) },
          { key: 'columns', label: trans.__('Columns'), numeric: true, cell: row => formatCount(row.columns) },
          {
            key: 'digest',
            label: trans.__('Digest'),
            cell: row => <code title={row.digest}>{row.digest.slice(0, 8)}</code>
          }
        ]}
      />
    </Section>
  );
}

function Children({ detail }: IPart): React.ReactElement | null {
  const { trans, open } = useWorkbench();
  if (detail.children.length === 0) {
    return null;
  }
  return (
    <Section title={trans.__('Runs within')} count={detail.children.length}>
      <Table
        label={trans.__('Runs within')}
        rows={detail.children}
        rowKey={run => run.uid}
        columns={[
          {
            key: 'name',
            label: trans.__('Name'),
            cell: run => (
              <button type="button" className="mw-link" onClick={() => open('run', run.uid)}>
                <StateDot state={run.status} />
                {run.name}
              </button>
            )
          },
          { key: 'metrics', label: trans.__('Metrics'), grow: true, cell: run => metricLine(run.metrics) },
          {
            key: 'time',
            label: trans.__('Duration'),
            numeric: true,
            cell: run => (
              <Span startMs={run.start_ms} endMs={run.end_ms} running={run.status === 'RUNNING'} />
            )
          }
        ]}
      />
    </Section>
  );
}

function Figures({ detail }: IPart): React.ReactElement | null {
  const { trans } = useWorkbench();
  const figures = detail.artifacts.filter(isFigure);
  if (figures.length === 0) {
    return null;
  }
  return (
    <Section title={trans.__('Figures')} count={figures.length}>
      <div className="mw-figures">
        {figures.map(artifact => (
          <Figure key={artifact.path} uid={detail.run.uid} artifact={artifact} />
        ))}
      </div>
    </Section>
  );
}

function Files({ detail }: IPart): React.ReactElement | null {
  const { trans } = useWorkbench();
  const files = detail.artifacts.filter(artifact => !isFigure(artifact));
  return files.length === 0 ? null : (
    <Section title={trans.__('Files')} count={files.length}>
      <ArtifactTable uid={detail.run.uid} artifacts={files} />
    </Section>
  );
}

function Tags({ detail }: IPart): React.ReactElement | null {
  const { trans } = useWorkbench();
  const tags = Object.entries(detail.run.tags).sort(([one], [other]) => one.localeCompare(other));
  return tags.length === 0 ? null : (
    <Section title={trans.__('Tags')} count={tags.length}>
      <Facts label={trans.__('Tags')} facts={tags} />
    </Section>
  );
}

function RegisterAction({ detail }: IPart): React.ReactElement | null {
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
        { name: 'name', label: trans.__('Registered model'), value: run.experiment, required: true },
        ...(models.length > 1
          ? [{ name: 'model', label: trans.__('Model'), value: models[0].name, options: models.map(item => item.name) }]
          : []),
        { name: 'alias', label: trans.__('Alias'), value: '', help: trans.__('For example champion; none if empty.') },
        { name: 'gate', label: trans.__('Gate'), value: '', lines: 2, help: trans.__('One condition a line, for example mae < 20.') }
      ],
      trans.__('Register'),
      trans
    );
    if (fields === null) {
      return;
    }
    const gate = lines(fields.gate);
    const { name, alias } = fields;
    const body = { run: run.uid, model: fields.model ?? '', alias, gate, experiment: '', baseline: '' };
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

/** The first metrics of a run in one line. */
export function metricLine(metrics: Record<string, number | null>): string {
  return Object.entries(metrics)
    .slice(0, 3)
    .map(([name, value]) => `${name} ${formatNumber(value)}`)
    .join('  ·  ');
}

function kindName(kind: string, run: string, pipeline: string, stage: string): string {
  return kind === 'pipeline' ? pipeline : kind === 'stage' ? stage : run;
}
