import * as React from 'react';

import { useWorkbench } from './context';
import { Facts } from './table';

const FIRST = 12;

/** Parameters: the first twelve, and the others when the user asks for them. */
export function Params({ params }: { params: Record<string, string> }): React.ReactElement {
  const { trans } = useWorkbench();
  const [all, setAll] = React.useState(false);
  const entries = Object.entries(params).sort(byDepth);
  if (entries.length === 0) {
    return <p className="mw-quiet">{trans.__('No parameters.')}</p>;
  }
  const shown = all ? entries : entries.slice(0, FIRST);
  return (
    <>
      <Facts
        label={trans.__('Parameters')}
        facts={shown.map(([name, value]) => [name, <code key={name}>{value}</code>])}
      />
      {entries.length > FIRST && (
        <button
          type="button"
          className="mw-link mw-more"
          aria-expanded={all}
          onClick={() => setAll(!all)}
        >
          {all ? trans.__('Show fewer') : trans.__('Show all %1', entries.length)}
        </button>
      )}
    </>
  );
}

/** Order of parameters: `depth` before `model__depth`, then by name. */
function byDepth([one]: [string, string], [other]: [string, string]): number {
  return one.split('__').length - other.split('__').length || one.localeCompare(other);
}
