import * as React from 'react';

import { useWorkbench } from '../components/context';
import { useResource } from '../components/hooks';
import { List, Row } from '../components/list';
import { EmptyState, Loading, ProblemNotice } from '../components/notices';
import { Chip } from '../components/status';
import { championFirst } from '../format/aliases';
import { formatAgo } from '../format/times';
import { modelIcon } from '../icons';
import { snippet } from '../snippets';

/** Registered models and their aliases. */
export function ModelsSection(): React.ReactElement {
  const { model, trans, open } = useWorkbench();
  const { value: models, problem } = useResource(model.models);
  return (
    <div className="mw-panel-section">
      {problem && <ProblemNotice problem={problem} retry={() => void model.models.refresh()} />}
      {models === null ? (
        !problem && <Loading lines={2} />
      ) : models.length === 0 ? (
        <EmptyState
          icon={modelIcon}
          title={trans.__('No registered models')}
          cells={snippet('register', { model: 'my-model' })}
        >
          {trans.__('Register the model of a run to give it versions and aliases.')}
        </EmptyState>
      ) : (
        <List label={trans.__('Models')}>
          {models.map(item => (
            <Row
              key={item.name}
              mark={<modelIcon.react tag="span" width="14px" />}
              title={item.name}
              value={trans.__('v%1', item.latest)}
              detail={Object.entries(item.aliases)
                .sort(([one], [other]) => championFirst(one, other))
                .map(([alias, version]) => (
                  <React.Fragment key={alias}>
                    <Chip tone={alias === 'champion' ? 'accent' : 'idle'}>
                      {alias} {trans.__('v%1', version)}
                    </Chip>{' '}
                  </React.Fragment>
                ))}
              hint={trans.__(
                'Registered model %1, changed %2',
                item.name,
                formatAgo(item.updated_ms)
              )}
              onOpen={keep => open('model', item.name, keep)}
            />
          ))}
        </List>
      )}
    </div>
  );
}
