import * as React from 'react';

import { useWorkbench } from './context';

/** The first of some entries, and all of them when the user asks for them. */
export function Fold({
  count,
  first,
  show
}: {
  count: number;
  first: number;
  /** Shows so many entries. */
  show: (shown: number) => React.ReactNode;
}): React.ReactElement {
  const { trans } = useWorkbench();
  const [all, setAll] = React.useState(false);
  return (
    <>
      {show(all ? count : first)}
      {count > first && (
        <button
          type="button"
          className="mw-link mw-more"
          aria-expanded={all}
          onClick={() => setAll(!all)}
        >
          {all ? trans.__('Show fewer') : trans.__('Show all %1', count)}
        </button>
      )}
    </>
  );
}
