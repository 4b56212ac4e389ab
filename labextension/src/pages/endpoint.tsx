import * as React from 'react';

import type { Alert, Endpoint } from '../api/types';
import { useWorkbench } from '../components/context';
import { showForm } from '../components/forms';
import { useResource } from '../components/hooks';
import { EmptyState, Snippet } from '../components/notices';
import { Action, Page, PagePlaceholder, Section, Tile } from '../components/page';
import { Chip, Dot, StateBadge } from '../components/status';
import { Ago } from '../components/times';
import { formatLatency, formatNumber } from '../format/numbers';
import { formatMoment } from '../format/times';
import { endpointIcon } from '../icons';
import { snippet } from '../snippets';
import { MonitorSection } from './monitor';
import { rollbackReason } from './rollback-reason';

/** Page of an endpoint: its version, traffic, alerts and monitor. */
export function EndpointPage({ name }: { name: string }): React.ReactElement {
  const { model, trans, open } = useWorkbench();
  const { value: endpoints, problem } = useResource(model.endpoints);
  const { value: alerts } = useResource(model.alerts);
  const endpoint = endpoints?.find(item => item.name === name);

  if (endpoints === null) {
    return <PagePlaceholder problem={problem} retry={() => void model.endpoints.refresh()} />;
  }
  if (endpoint === undefined) {
    return (
      <article className="mw-page">
        <EmptyState
          icon={endpointIcon}
          title={trans.__('No endpoint %1', name)}
          cells={snippet('deploy', { model: name })}
        >
          {trans.__('The endpoint was removed or has not been deployed.')}
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
        endpoint.digest && (
          <code
            key="digest"
            title={trans.__('Digest of the files that are served: %1', endpoint.digest)}
          >
            {endpoint.digest.slice(0, 12)}
          </code>
        ),
        endpoint.since_ms > 0 && trans.__('Serving since %1', formatMoment(endpoint.since_ms)),
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
            endpoint.errors > 0 ? <Dot tone="bad" label={trans.__('Some requests failed')} /> : null
          }
        />
        <Tile label={trans.__('p50 latency')} value={formatLatency(endpoint.p50_ms)} />
        <Tile label={trans.__('p99 latency')} value={formatLatency(endpoint.p99_ms)} />
      </div>
      <Alerts alerts={(alerts ?? []).filter(alert => alert.endpoint === name)} />
      <MonitorSection endpoint={name} />
      <Section title={trans.__('Try it')}>
        <Snippet cells={snippet('try-endpoint', { endpoint: name })} />
      </Section>
    </Page>
  );
}

/** Name of the registered model in a reference `name@alias` or `name/3`. */
export function modelOf(endpoint: Endpoint): string {
  return endpoint.model.replace(/(@[^@]*|\/\d+)$/, '');
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
                <Chip tone={alert.resolved_ms ? 'idle' : 'bad'}>{alert.kind}</Chip>{' '}
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

  const rollback = (): Promise<unknown> =>
    showForm(
      {
        title: trans.__('Roll back %1?', name),
        intro: trans.__(
          'The endpoint switches from version %1 back to version %2.',
          endpoint.version,
          endpoint.previous
        ),
        fields: [rollbackReason(trans)],
        accept: trans.__('Roll back'),
        danger: true,
        submit: ({ reason }) =>
          model.client
            .rollbackEndpoint(name, reason.trim(), endpoint.wanted_version)
            .finally(() => model.refresh()),
        success: made => trans.__('%1 switches to version %2.', name, made.wanted_version)
      },
      trans
    );

  const remove = (): Promise<unknown> =>
    showForm(
      {
        title: trans.__('Remove endpoint %1?', name),
        intro: trans.__(
          'Its process answers the requests it has received and stops. The prediction log is kept.'
        ),
        accept: trans.__('Remove'),
        danger: true,
        submit: () => model.client.removeEndpoint(name).finally(() => model.refresh())
      },
      trans
    );

  return (
    <>
      <Action label={trans.__('Remove…')} onClick={() => void remove()} />
      <Action
        label={trans.__('Roll back…')}
        danger
        disabled={endpoint.previous === 0}
        onClick={() => void rollback()}
      />
    </>
  );
}
