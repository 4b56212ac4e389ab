import * as React from 'react';

import { Fold } from './fold';
import { useWorkbench } from './context';
import { Facts } from './table';

const FIRST = 12;

/** Parameters: those that somebody set, at most twelve, and the others when the user asks for them. */
export function Params({
  params,
  defaults = []
}: {
  params: Record<string, string>;
  /** Names of those that have the default of their class. */
  defaults?: readonly string[];
}): React.ReactElement {
  const { trans } = useWorkbench();
  const given = new Set(defaults);
  const entries = Object.entries(params).sort(byDepth);
  const set = entries.filter(([name]) => !given.has(name));
  const ordered = [...set, ...entries.filter(([name]) => given.has(name))];
  if (ordered.length === 0) {
    return <p className="mw-quiet">{trans.__('No parameters.')}</p>;
  }
  // Without one that was set, the defaults are what there is to see.
  const first = Math.min(set.length || FIRST, FIRST);
  return (
    <Fold
      count={ordered.length}
      first={ordered.length - first > 1 ? first : ordered.length}
      show={shown => (
        <Facts
          label={trans.__('Parameters')}
          facts={ordered.slice(0, shown).map(([name, value]) => [
            name,
            given.has(name) ? (
              <code key={name} className="mw-quiet" title={trans.__('Default')}>
                {value}
              </code>
            ) : (
              <code key={name}>{value}</code>
            )
          ])}
        />
      )}
    />
  );
}

/** Order of parameters: `depth` before `model__depth`, then by name. */
function byDepth([one]: [string, string], [other]: [string, string]): number {
  return one.split('__').length - other.split('__').length || one.localeCompare(other);
}
