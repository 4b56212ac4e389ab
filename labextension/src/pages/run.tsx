import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { Run, RunDetail } from '../api/types';
import { ArtifactTable, Figure, figuresOf } from '../components/artifacts';
import { useWorkbench } from '../components/context';
import { useResource } from '../components/hooks';
import { Params } from '../components/params';
import { Page, PagePlaceholder, Section } from '../components/page';
import { Output, Source } from '../components/rendered';
import { Chip, StateBadge, StateDot } from '../components/status';
import { Facts, Table } from '../components/table';
import { Ago, Span } from '../components/times';
import { metricNames } from '../format/metrics';
import { formatNumber } from '../format/numbers';
import { basename, shortId } from '../format/text';
import { runIcon } from '../icons';
import { RegisterAction } from './register';
import { RunMetrics, RunResources } from './run-metrics';

/** Page of a run: parameters, data, metrics, figures, models, source and output. */
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
    return <PagePlaceholder problem={problem} retry={() => void resource.refresh()} />;
  }
  const { run } = detail;
  const running = run.status === 'RUNNING';
  return (
    <Page
      icon={runIcon}
      kind={kindName(run.kind, trans)}
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
          {running ? trans.__('Running for') : trans.__('Duration')}{' '}
          <Span startMs={run.start_ms} endMs={run.end_ms} running={running} />
        </>,
        run.notebook && <code title={run.notebook}>{basename(run.notebook)}</code>,
        <code title={trans.__('Run id: %1', run.uid)}>{shortId(run.uid)}</code>
      ]}
      actions={<RegisterAction detail={detail} />}
    >
      <Failure detail={detail} />
      <RunMetrics detail={detail} />
      <Figures detail={detail} />
      <div className="mw-columns">
        <ParamsSection detail={detail} />
        <div>
          <Models detail={detail} />
          <Datasets detail={detail} />
        </div>
      </div>
      <Children detail={detail} />
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
      <RunResources detail={detail} />
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
    <Section title={trans.__('Error')}>
      {traceback ? <Output text={traceback} error /> : <Output text={run.error} error />}
    </Section>
  );
}

function ParamsSection({ detail }: IPart): React.ReactElement {
  const { trans } = useWorkbench();
  const { params } = detail.run;
  return (
    <Section title={trans.__('Parameters')} count={Object.keys(params).length}>
      <Params params={params} defaults={detail.defaults} />
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
          { key: 'context', label: trans.__('Context'), cell: row => row.context, grow: true },
          {
            key: 'rows',
            label: trans.__('Rows'),
            numeric: true,
            cell: row => formatNumber(row.rows)
          },
          {
            key: 'columns',
            label: trans.__('Columns'),
            numeric: true,
            cell: row => formatNumber(row.columns)
          },
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
    <Section title={trans.__('Child runs')} count={detail.children.length}>
      <Table
        label={trans.__('Child runs')}
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
          {
            key: 'metrics',
            label: trans.__('Metrics'),
            grow: true,
            cell: run => metricLine(run.metrics)
          },
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
  const figures = figuresOf(detail.artifacts);
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
  const figures = figuresOf(detail.artifacts);
  const files = detail.artifacts.filter(artifact => !figures.includes(artifact));
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

/** The first metrics of a run in one line. */
export function metricLine(metrics: Run['metrics']): string {
  return metricNames(metrics)
    .slice(0, 3)
    .map(name => `${name} ${formatNumber(metrics[name])}`)
    .join('  ·  ');
}

function kindName(kind: string, trans: TranslationBundle): string {
  const names: Partial<Record<string, string>> = {
    pipeline: trans.__('Pipeline run'),
    stage: trans.__('Stage'),
    notebook: trans.__('Notebook run')
  };
  return names[kind] ?? trans.__('Run');
}
