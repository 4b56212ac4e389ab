import { refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { WorkspaceStatus } from '../api/types';
import { useWorkbench } from '../components/context';
import { useResource } from '../components/hooks';
import { ProblemNotice } from '../components/notices';
import { Dot } from '../components/status';
import { formatBytes } from '../format/numbers';
import type { Tone } from '../format/states';
import { basename } from '../format/text';

/** Name of the workspace, state of the delivery to MLflow, and open alerts. */
export function PanelHeader(): React.ReactElement {
  const { model, trans } = useWorkbench();
  const { value: status, problem } = useResource(model.status);
  if (problem) {
    return <ProblemNotice problem={problem} retry={() => model.refresh()} />;
  }
  if (status === null) {
    return <p className="mw-quiet">{trans.__('Starting the control plane…')}</p>;
  }
  const [tone, text] = delivery(status);
  return (
    <div className="mw-panel-header">
      <span className="mw-panel-name" title={status.root}>
        {basename(status.root)}
      </span>
      <span className="mw-panel-state" title={status.ingest.problem || status.ingest.tracking}>
        <Dot tone={tone} label={text} />
        <span aria-hidden="true">{text}</span>
      </span>
      <Refresh />
      {status.open_alerts > 0 && (
        <span className="mw-panel-alerts">
          {trans._n('%1 open alert', '%1 open alerts', status.open_alerts)}
        </span>
      )}
    </div>
  );

  function delivery({ ingest }: WorkspaceStatus): [Tone, string] {
    if (ingest.problem) {
      return ['warn', trans.__('Delivery failing')];
    }
    if (ingest.catching_up) {
      return ['busy', trans.__('Reading new runs')];
    }
    return ingest.backlog_bytes > 0
      ? ['busy', trans.__('%1 pending', formatBytes(ingest.backlog_bytes))]
      : ['good', trans.__('Up to date')];
  }
}

function Refresh(): React.ReactElement {
  const { model, trans } = useWorkbench();
  const label = trans.__('Refresh');
  return (
    <button
      type="button"
      className="mw-icon-button"
      onClick={() => model.refresh()}
      aria-label={label}
      title={label}
    >
      <refreshIcon.react tag="span" width="14px" />
    </button>
  );
}
