import { type ISignal, Signal } from '@lumino/signaling';

import { Problem } from '../api/problem';
import { type IChange, isEverything } from './changes';

/** State of a resource. After a failed request it keeps the last value. */
export interface ISnapshot<T> {
  readonly value: T | null;
  readonly problem: Problem | null;
  readonly loading: boolean;
}

const DEBOUNCE_MS = 120;

/**
 * A value of the control plane. It is fetched when the first watcher comes, and after each change while watched.
 *
 * Changes that come close together lead to one request. Requests never overlap; a change during a request leads
 * to one more request after it.
 */
export class Resource<T> {
  constructor(options: Resource.IOptions<T>) {
    this._fetch = options.fetch;
    this._changes = options.changes;
    this._concerns = options.concerns;
    this._debounce = options.debounce ?? DEBOUNCE_MS;
  }

  /** Emitted when the snapshot has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get snapshot(): ISnapshot<T> {
    return this._snapshot;
  }

  /** Watch the value until the returned function is called. */
  watch(): () => void {
    if (this._watchers++ === 0) {
      this._changes.connect(this._onChange, this);
      void this.refresh();
    }
    let watching = true;
    return () => {
      if (watching && --this._watchers === 0) {
        this._changes.disconnect(this._onChange, this);
        clearTimeout(this._timer);
      }
      watching = false;
    };
  }

  /** Fetch the value now; resolves when the snapshot is at least as new as the call. */
  refresh(): Promise<void> {
    clearTimeout(this._timer);
    if (this._running) {
      this._next ??= this._running.then(() => {
        this._next = null;
        return this.refresh();
      });
      return this._next;
    }
    this._running = this._load().finally(() => {
      this._running = null;
    });
    return this._running;
  }

  private async _load(): Promise<void> {
    this._set({ ...this._snapshot, loading: true });
    try {
      const value = await this._fetch();
      this._set({ value, problem: null, loading: false });
    } catch (reason) {
      this._set({ ...this._snapshot, problem: Problem.from(reason), loading: false });
    }
  }

  private _set(snapshot: ISnapshot<T>): void {
    this._snapshot = snapshot;
    this._changed.emit();
  }

  private _onChange(_: unknown, change: IChange): void {
    if (isEverything(change) || this._concerns(change)) {
      clearTimeout(this._timer);
      this._timer = setTimeout(() => void this.refresh(), this._debounce);
    }
  }

  private readonly _fetch: () => Promise<T>;
  private readonly _changes: ISignal<unknown, IChange>;
  private readonly _concerns: (change: IChange) => boolean;
  private readonly _debounce: number;
  private readonly _changed = new Signal<this, void>(this);
  private _snapshot: ISnapshot<T> = { value: null, problem: null, loading: false };
  private _watchers = 0;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _running: Promise<void> | null = null;
  private _next: Promise<void> | null = null;
}

export namespace Resource {
  export interface IOptions<T> {
    fetch: () => Promise<T>;
    changes: ISignal<unknown, IChange>;
    /** Whether a change may affect the value. */
    concerns: (change: IChange) => boolean;
    /** Milliseconds to wait for further changes. */
    debounce?: number;
  }
}
