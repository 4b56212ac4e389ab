import type { Event } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import { Poll } from '@lumino/polling';
import { type ISignal, Signal } from '@lumino/signaling';

import type { Topic } from '../api/types';

/** Mirrors `SCHEMA_ID` of the server extension. */
export const SCHEMA_ID = 'https://events.jupyter.org/mlops_workbench/invalidation/v1';

/** A change in the workspace. The topic `status` with the id `*` means that everything may have changed. */
export interface IChange {
  topic: Topic;
  id: string;
  revision: number;
}

export const EVERYTHING: IChange = { topic: 'status', id: '*', revision: 0 };

export function isEverything(change: IChange): boolean {
  return change.topic === 'status' && change.id === '*';
}

/**
 * Changes in the workspace, from the Jupyter server's event stream.
 *
 * The stream does not replay events and does not report interruptions. Everything therefore counts as changed
 * when the browser tab is shown again (the stream pauses in hidden tabs) and at a long interval.
 */
export class Changes implements IDisposable {
  constructor(events: Event.IManager, seconds: number) {
    this._events = events;
    events.stream.connect(this._onEmission, this);
    document.addEventListener('visibilitychange', this._onVisibility);
    this._poll = new Poll({
      name: 'mlops-workbench:changes',
      auto: false,
      factory: () => Promise.resolve(this._changed.emit(EVERYTHING)),
      standby: 'when-hidden'
    });
    this.seconds = seconds;
  }

  get changed(): ISignal<this, IChange> {
    return this._changed;
  }

  /** Interval in seconds at which everything counts as changed; 0 for never. */
  get seconds(): number {
    return this._seconds;
  }
  set seconds(value: number) {
    if (value === this._seconds) {
      return;
    }
    this._seconds = value;
    const interval = value > 0 ? value * 1000 : Poll.NEVER;
    this._poll.frequency = { interval, backoff: false, max: Poll.MAX_INTERVAL };
    void (value > 0 ? this._poll.schedule({ phase: 'started', interval }) : this._poll.stop());
  }

  get isDisposed(): boolean {
    return this._poll.isDisposed;
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._poll.dispose();
    this._events.stream.disconnect(this._onEmission, this);
    document.removeEventListener('visibilitychange', this._onVisibility);
    Signal.clearData(this);
  }

  private _onEmission(_: unknown, emission: Event.Emission): void {
    if (emission.schema_id === SCHEMA_ID) {
      const { topic, id, revision } = emission as Event.Emission & IChange;
      this._changed.emit({ topic, id, revision });
    }
  }

  private readonly _onVisibility = (): void => {
    if (!document.hidden) {
      this._changed.emit(EVERYTHING);
    }
  };

  private readonly _events: Event.IManager;
  private readonly _poll: Poll;
  private readonly _changed = new Signal<this, IChange>(this);
  private _seconds = -1;
}
