import * as React from 'react';

import { formatAgo, formatMoment, formatSpan } from '../format/times';
import { useNow } from './hooks';

const MINUTE = 60_000;

/** `5 min. ago`, with date and time as tooltip. */
export function Ago({ ms }: { ms: number }): React.ReactElement {
  useNow(MINUTE / 2);
  return (
    <time dateTime={new Date(ms).toISOString()} title={formatMoment(ms)}>
      {formatAgo(ms)}
    </time>
  );
}

/** A duration; it counts up while `endMs` is 0. */
export function Span({
  startMs,
  endMs,
  running
}: {
  startMs: number;
  endMs: number;
  running: boolean;
}): React.ReactElement {
  const now = useNow(running && startMs !== 0 ? 1000 : 0);
  return (
    <span className="mw-number">{running || endMs ? formatSpan(startMs, endMs, now) : '–'}</span>
  );
}
