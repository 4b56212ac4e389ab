import { Signal } from '@lumino/signaling';

import { Problem } from '../api/problem';
import { EVERYTHING, type IChange } from '../model/changes';
import { Resource } from '../model/resource';

const RUNS: IChange = { topic: 'runs', id: 'r1', revision: 1 };
const MODELS: IChange = { topic: 'models', id: 'm', revision: 2 };

/** A fetch function; the test gives its answers one by one. */
class Source {
  readonly calls: { resolve: (value: string) => void; reject: (reason: unknown) => void }[] = [];

  readonly fetch = (): Promise<string> =>
    new Promise((resolve, reject) => this.calls.push({ resolve, reject }));
}

describe('Resource', () => {
  let source: Source;
  let changes: Signal<object, IChange>;
  let resource: Resource<string>;

  beforeEach(() => {
    jest.useFakeTimers();
    source = new Source();
    changes = new Signal({});
    resource = new Resource({
      fetch: source.fetch,
      changes,
      concerns: change => change.topic === 'runs',
      debounce: 100
    });
  });
  afterEach(() => jest.useRealTimers());

  async function answer(index: number, value: string): Promise<void> {
    source.calls[index].resolve(value);
    await settle();
  }
  async function settle(): Promise<void> {
    for (let turn = 0; turn < 5; turn += 1) {
      await Promise.resolve();
    }
  }

  it('is not fetched before somebody watches', () => {
    changes.emit(RUNS);
    jest.runAllTimers();
    expect(source.calls).toHaveLength(0);
  });

  it('is fetched when watched and holds the answer', async () => {
    resource.watch();
    expect(resource.snapshot).toEqual({ value: null, problem: null, loading: true });
    await answer(0, 'one');
    expect(resource.snapshot).toEqual({ value: 'one', problem: null, loading: false });
  });

  it('is fetched once for changes that come close together', async () => {
    resource.watch();
    await answer(0, 'one');
    changes.emit(RUNS);
    jest.advanceTimersByTime(60);
    changes.emit(RUNS);
    jest.advanceTimersByTime(60);
    expect(source.calls).toHaveLength(1);
    jest.advanceTimersByTime(60);
    expect(source.calls).toHaveLength(2);
  });

  it('is fetched after its own changes and when everything may have changed, not after others', async () => {
    resource.watch();
    await answer(0, 'one');
    changes.emit(MODELS);
    jest.runAllTimers();
    expect(source.calls).toHaveLength(1);
    changes.emit(EVERYTHING);
    jest.runAllTimers();
    expect(source.calls).toHaveLength(2);
  });

  it('is fetched once more after a change during a request, never twice at a time', async () => {
    resource.watch();
    changes.emit(RUNS);
    jest.runAllTimers();
    changes.emit(RUNS);
    jest.runAllTimers();
    expect(source.calls).toHaveLength(1);
    await answer(0, 'old');
    expect(source.calls).toHaveLength(2);
    await answer(1, 'new');
    expect(resource.snapshot.value).toBe('new');
    expect(source.calls).toHaveLength(2);
  });

  it('keeps its value when fetching fails, and has the problem', async () => {
    resource.watch();
    await answer(0, 'one');
    void resource.refresh();
    source.calls[1].reject(new Problem({ code: 'unavailable', message: 'gone', status: 503 }));
    await settle();
    expect(resource.snapshot.value).toBe('one');
    expect(resource.snapshot.problem?.message).toBe('gone');
    void resource.refresh();
    await answer(2, 'two');
    expect(resource.snapshot).toEqual({ value: 'two', problem: null, loading: false });
  });

  it('is not fetched after the last watcher has gone', async () => {
    const first = resource.watch();
    const second = resource.watch();
    await answer(0, 'one');
    first();
    first();
    changes.emit(RUNS);
    jest.runAllTimers();
    expect(source.calls).toHaveLength(2);
    await answer(1, 'two');
    second();
    changes.emit(RUNS);
    jest.runAllTimers();
    expect(source.calls).toHaveLength(2);
  });
});
