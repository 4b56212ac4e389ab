import * as React from 'react';

import { type State, stateName, toneOf, type Tone } from '../format/states';
import { useWorkbench } from './context';

/** A coloured dot; `label` gives its meaning as text. */
export function Dot({ tone, label }: { tone: Tone; label: string }): React.ReactElement {
  return <span className={`mw-dot mw-dot-${tone}`} role="img" aria-label={label} title={label} />;
}

/** The dot of a state. */
export function StateDot({ state }: { state: State }): React.ReactElement {
  const { trans } = useWorkbench();
  return <Dot tone={toneOf(state)} label={stateName(state, trans)} />;
}

/** Dot and name of a state. */
export function StateBadge({ state }: { state: State }): React.ReactElement {
  const { trans } = useWorkbench();
  return (
    <span className={`mw-badge mw-badge-${toneOf(state)}`}>
      <span className={`mw-dot mw-dot-${toneOf(state)}`} aria-hidden="true" />
      {stateName(state, trans)}
    </span>
  );
}

/** A short label with a background. */
export function Chip({
  tone = 'idle',
  title,
  children
}: {
  tone?: Tone | 'accent';
  title?: string;
  children: React.ReactNode;
}): React.ReactElement {
  return (
    <span className={`mw-chip mw-chip-${tone}`} title={title}>
      {children}
    </span>
  );
}
