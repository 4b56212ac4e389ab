import * as React from 'react';

import { useWorkbench } from '../components/context';
import { useResource } from '../components/hooks';
import { List, Row } from '../components/list';
import { EmptyState, Loading, ProblemNotice } from '../components/notices';
import { Chip, StateDot } from '../components/status';
import { formatLatency, formatNumber } from '../format/numbers';
import { endpointIcon } from '../icons';
import { snippet } from '../snippets';

/** Endpoints with their model version, traffic and open alerts. */
export function EndpointsSection(): React.ReactElement {
  const { model, trans, open } = useWorkbench();
  const { value: endpoints, problem } = useResource(model.endpoints);
  const { value: alerts } = useResource(model.alerts);
  return (
    <div className="mw-panel-section">
      {problem && <ProblemNotice problem={problem} retry={() => void model.endpoints.refresh()} />}
      {endpoints === null ? (
        !problem && <Loading lines={2} />
      ) : endpoints.length === 0 ? (
        <EmptyState
          icon={endpointIcon}
          title={trans.__('No endpoints')}
          cells={snippet('deploy', { model: 'my-model' })}
        >
          {trans.__('Deploy a registered model to serve predictions over HTTP.')}
        </EmptyState>
      ) : (
        <List label={trans.__('Endpoints')}>
          {endpoints.map(item => {
            const open_alerts = (alerts ?? []).filter(
              alert => alert.endpoint === item.name && alert.resolved_ms === 0
            ).length;
            return (
              <Row
                key={item.name}
                mark={<StateDot state={item.state} />}
                title={item.name}
                value={item.p50_ms !== null ? formatLatency(item.p50_ms) : ''}
                detail={
                  <>
                    {item.model}
                    {!item.model.endsWith(`/${item.version}`) &&
                      ` · ${trans.__('v%1', item.version)}`}{' '}
                    {open_alerts > 0 && (
                      <Chip tone="bad">{trans._n('%1 alert', '%1 alerts', open_alerts)}</Chip>
                    )}
                  </>
                }
                aside={trans._n(
                  '%2 request',
                  '%2 requests',
                  item.requests,
                  formatNumber(item.requests)
                )}
                hint={item.message || trans.__('Endpoint %1', item.name)}
                onOpen={keep => open('endpoint', item.name, keep)}
              />
            );
          })}
        </List>
      )}
    </div>
  );
}
