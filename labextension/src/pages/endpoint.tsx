import * as React from 'react';

import type { Alert, Endpoint } from '../api/types';
import { useWorkbench } from '../components/context';
import { attempt, confirm } from '../components/dialogs';
import { useResource } from '../components/hooks';
import { EmptyState, Loading, ProblemNotice, Snippet } from '../components/notices';
import { Action, Page, Section, Tile } from '../components/page';
import { Chip, Dot, StateBadge } from '../components/status';
import { Ago } from '../components/times';
import { formatLatency, formatNumber } from '../format/numbers';
import { endpointIcon } from '../icons';
import { MonitorSection } from './monitor';

/** An endpoint: what it serves, how well, and whether the world has changed. */
export function EndpointPage({ name }: { name: string }): React.ReactElement {
  const { model, trans, open } = useWorkbench();
  const { value: endpoints, problem } = useResource(model.endpoints);
  const { value: alerts } = useResource(model.alerts);
  const endpoint = endpoints?.find(item => item.name === name);

  if (endpoints === null) {
    return (
      <article className="mw-page">
        {problem ? (
          <ProblemNotice problem={problem} retry={() => void model.endpoints.refresh()} />
        ) : (
          <Loading lines={6} />
        )}
      </article>
    );
  }
  if (endpoint === undefined) {
    return (
      <article className="mw-page">
        <EmptyState
          icon={endpointIcon}
          title={trans.__('There is no endpoint %1', name)}
          code={`%mlops deploy ${name}@champion`}
        >
          {trans.__('It was taken away, or not deployed yet.')}
        </EmptyState>
      </article>
    );
  }
  const moving = endpoint.wanted_version !== endpoint.version;
  return (
    <Page
      icon={endpointIcon}
      kind={trans.__('Endpoint')}
      title={endpoint.name}
      badge={<StateBadge state={endpoint.state} />}
      problem={problem}
      retry={() => void model.endpoints.refresh()}
      facts={[
        <button
          key="model"
          type="button"
          className="mw-link"
          onClick={() => open('model', modelOf(endpoint))}
        >
          {endpoint.model}
        </button>,
        trans.__('Version %1', endpoint.version) + (moving ? ` → ${endpoint.wanted_version}` : ''),
        endpoint.since_ms > 0 && (
          <>
            {trans.__('answers since')} <Ago ms={endpoint.since_ms} />
          </>
        ),
        endpoint.url && <code>{endpoint.url}</code>,
        endpoint.pid > 0 && trans.__('Process %1', endpoint.pid)
      ]}
      actions={<EndpointActions endpoint={endpoint} />}
    >
      {endpoint.message && (
        <div className={endpoint.state === 'failed' ? 'mw-problem' : 'mw-note'} role="status">
          {endpoint.message}
        </div>
      )}
      <div className="mw-tiles">
        <Tile label={trans.__('Requests')} value={formatNumber(endpoint.requests)} />
        <Tile label={trans.__('Rows')} value={formatNumber(endpoint.rows)} />
        <Tile
          label={trans.__('Errors')}
          value={formatNumber(endpoint.errors)}
          note={
            endpoint.errors > 0 ? <Dot tone="bad" label={trans.__('There were errors')} /> : null
          }
        />
        <Tile label={trans.__('Latency, median')} value={formatLatency(endpoint.p50_ms)} />
        <Tile label={trans.__('Latency, 99 %')} value={formatLatency(endpoint.p99_ms)} />
      </div>
      <Alerts alerts={(alerts ?? []).filter(alert => alert.endpoint === name)} />
      <MonitorSection endpoint={name} />
      <Section title={trans.__('Ask it')}>
        <Snippet code={requestExample(endpoint)} />
      </Section>
    </Page>
  );
}

/** Name of the registered model in a reference `name@alias` or `name/3`. */
export function modelOf(endpoint: Endpoint): string {
  return endpoint.model.replace(/(@[^@]*|\/\d+)$/, '');
}

function requestExample(endpoint: Endpoint): string {
  return `%mlops predict ${endpoint.name} X_test.head()`;
}

function Alerts({ alerts }: { alerts: Alert[] }): React.ReactElement | null {
  const { trans } = useWorkbench();
  if (alerts.length === 0) {
    return null;
  }
  return (
    <Section title={trans.__('Alerts')} count={alerts.length}>
      <ul className="mw-alerts" aria-label={trans.__('Alerts')}>
        {alerts.map(alert => (
          <li key={alert.id} className={alert.resolved_ms ? 'mw-resolved' : ''}>
            <Dot
              tone={alert.resolved_ms ? 'idle' : 'bad'}
              label={alert.resolved_ms ? trans.__('Resolved') : trans.__('Open')}
            />
            <div>
              <p>{alert.message}</p>
              <p className="mw-quiet">
                <Chip tone={alert.resolved_ms ? 'idle' : 'bad'}>{alert.kind}</Chip>
                {trans.__('version %1, window %2', alert.version, alert.window)}
                {' · '}
                <Ago ms={alert.at_ms} />
                {alert.pipeline_run && (
                  <>
                    {' · '}
                    {trans.__('started pipeline run %1', alert.pipeline_run)}
                  </>
                )}
              </p>
            </div>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function EndpointActions({ endpoint }: { endpoint: Endpoint }): React.ReactElement {
  const { model, trans } = useWorkbench();
  const { name } = endpoint;

  const rollback = async (): Promise<void> => {
    const meant = await confirm(
      trans.__('Roll back %1?', name),
      trans.__('It goes back from version %1 to version %2.', endpoint.version, endpoint.previous),
      trans.__('Roll back'),
      trans,
      true
    );
    if (meant) {
      await attempt(
        () => model.client.rollbackEndpoint(name),
        made => trans.__('%1 goes back to version %2.', name, made.wanted_version)
      );
      model.refresh();
    }
  };

  const remove = async (): Promise<void> => {
    const meant = await confirm(
      trans.__('Take %1 away?', name),
      trans.__('Its process ends after the requests it has; the prediction log stays.'),
      trans.__('Take away'),
      trans,
      true
    );
    if (meant) {
      await attempt(() => model.client.removeEndpoint(name));
      model.refresh();
    }
  };

  return (
    <>
      <Action label={trans.__('Take away…')} onClick={() => void remove()} />
      <Action
        label={trans.__('Roll back…')}
        danger
        disabled={endpoint.previous === 0}
        onClick={() => void rollback()}
      />
    </>
  );
}
