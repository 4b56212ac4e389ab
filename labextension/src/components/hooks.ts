import { type ISignal } from '@lumino/signaling';
import * as React from 'react';

import type { ISnapshot, Resource } from '../model/resource';
import { useShown } from './shown';

/** Snapshot of a resource, which is watched while the component is visible. */
export function useResource<T>(resource: Resource<T>): ISnapshot<T> {
  const shown = useShown();
  const subscribe = React.useCallback(
    (notify: () => void) => {
      resource.changed.connect(notify);
      const release = shown ? resource.watch() : null;
      return () => {
        release?.();
        resource.changed.disconnect(notify);
      };
    },
    [resource, shown]
  );
  return React.useSyncExternalStore(subscribe, () => resource.snapshot);
}

/** A value that is read again when a signal is emitted. */
export function useSignalValue<T>(signal: ISignal<unknown, unknown>, read: () => T): T {
  const subscribe = React.useCallback(
    (notify: () => void) => {
      signal.connect(notify);
      return () => {
        signal.disconnect(notify);
      };
    },
    [signal]
  );
  return React.useSyncExternalStore(subscribe, read);
}

/** Current time in milliseconds, updated every `everyMs` milliseconds; not updated if `everyMs` is 0. */
export function useNow(everyMs: number): number {
  const [now, setNow] = React.useState(() => Date.now());
  React.useEffect(() => {
    if (everyMs === 0) {
      return;
    }
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** Width of an element in pixels, `initial` until it is known. */
export function useWidth(initial: number): readonly [number, React.RefCallback<HTMLElement>] {
  const [width, setWidth] = React.useState(initial);
  const observer = React.useRef<ResizeObserver | null>(null);
  const ref = React.useCallback((element: HTMLElement | null) => {
    observer.current?.disconnect();
    if (element === null || typeof ResizeObserver === 'undefined') {
      return;
    }
    observer.current = new ResizeObserver(entries => {
      const measured = Math.floor(entries[0].contentRect.width);
      if (measured > 0) {
        setWidth(measured);
      }
    });
    observer.current.observe(element);
  }, []);
  return [width, ref];
}
