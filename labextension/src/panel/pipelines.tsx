import { runIcon as playIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { Pipeline, PipelineRun } from '../api/types';
import { useWorkbench } from '../components/context';
import { useResource } from '../components/hooks';
import { List, Row } from '../components/list';
import { EmptyState, Loading, ProblemNotice } from '../components/notices';
import { showPipelineForm } from '../components/pipeline-form';
import { Dot, StateDot } from '../components/status';
import { Ago, Span } from '../components/times';
import { isActive } from '../format/states';
import { pipelineIcon } from '../icons';
import { snippet } from '../snippets';

/** Pipelines of the workspace, each with its newest run. */
export function PipelinesSection(): React.ReactElement {
  const { model, trans, notebook } = useWorkbench();
  const { value: pipelines, problem } = useResource(model.pipelines);
  const { value: runs } = useResource(model.pipelineRuns);
  return (
    <div className="mw-panel-section">
      {problem && <ProblemNotice problem={problem} retry={() => void model.pipelines.refresh()} />}
      {pipelines === null ? (
        !problem && <Loading lines={2} />
      ) : pipelines.length === 0 ? (
        <EmptyState
          icon={pipelineIcon}
          title={trans.__('No pipelines')}
          cells={snippet('pipeline', { notebook: quoted(notebook()) })}
        >
          {trans.__('A pipeline is a YAML file in the pipelines folder. Its stages are notebooks.')}
        </EmptyState>
      ) : (
        <List label={trans.__('Pipelines')}>
          {pipelines.map(item => (
            <PipelineRow
              key={item.path}
              pipeline={item}
              last={runs?.find(run => run.pipeline === item.name)}
            />
          ))}
        </List>
      )}
    </div>
  );
}

/** A path as one word of a command. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replace(/'/g, `'"'"'`)}'`;
}

function PipelineRow({
  pipeline,
  last
}: {
  pipeline: Pipeline;
  last: PipelineRun | undefined;
}): React.ReactElement {
  const { model, trans, open } = useWorkbench();
  const run = async (): Promise<void> => {
    if (await showPipelineForm(pipeline, model, trans)) {
      open('pipeline', pipeline.name);
    }
  };
  const label = trans.__('Run %1…', pipeline.name);
  return (
    <Row
      mark={
        pipeline.problem ? (
          <Dot tone="warn" label={trans.__('Cannot run')} />
        ) : last ? (
          <StateDot state={last.state} />
        ) : (
          <Dot tone="idle" label={trans.__('No runs yet')} />
        )
      }
      title={pipeline.name}
      detail={
        pipeline.problem ? (
          <span className="mw-row-error">{trans.__('Cannot run. Open it for details.')}</span>
        ) : (
          pipeline.stages.join(' → ')
        )
      }
      aside={
        last &&
        (isActive(last.state) ? (
          <Span startMs={last.start_ms} endMs={0} running />
        ) : (
          <Ago ms={last.start_ms} />
        ))
      }
      hint={pipeline.problem || trans.__('Pipeline %1', pipeline.name)}
      onOpen={keep => open('pipeline', pipeline.name, keep)}
    >
      <button
        type="button"
        className="mw-icon-button mw-row-action"
        disabled={pipeline.problem !== ''}
        onClick={() => void run()}
        aria-label={label}
        title={label}
      >
        <playIcon.react tag="span" width="14px" />
      </button>
    </Row>
  );
}
