import { type Event } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import { Changes, EVERYTHING, type IChange, SCHEMA_ID } from '../model/changes';

class Events {
  readonly stream = new Signal<this, Event.Emission>(this);
}

describe('Changes', () => {
  let events: Events;
  let changes: Changes;
  let seen: IChange[];

  beforeEach(() => {
    events = new Events();
    changes = new Changes(events as unknown as Event.IManager, 0);
    seen = [];
    changes.changed.connect((_, change) => seen.push(change));
  });
  afterEach(() => changes.dispose());

  function show(hidden: boolean): void {
    Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
    document.dispatchEvent(new window.Event('visibilitychange'));
  }

  it('emits the events of the workbench and no others', () => {
    events.stream.emit({ schema_id: 'https://events.jupyter.org/other', topic: 'runs' });
    events.stream.emit({
      schema_id: SCHEMA_ID,
      topic: 'runs',
      id: 'r1',
      revision: 7,
      __timestamp__: 'now'
    });
    expect(seen).toEqual([{ topic: 'runs', id: 'r1', revision: 7 }]);
  });

  it('emits that everything may have changed when the tab is shown again', () => {
    show(true);
    expect(seen).toEqual([]);
    show(false);
    expect(seen).toEqual([EVERYTHING]);
  });

  it('emits it at an interval if one is set', async () => {
    const ticked = new Promise<IChange>(resolve => {
      changes.changed.connect((_, change) => resolve(change));
    });
    changes.seconds = 0.02;
    expect(await ticked).toEqual(EVERYTHING);
  });

  it('emits nothing after it was disposed', () => {
    changes.dispose();
    events.stream.emit({ schema_id: SCHEMA_ID, topic: 'runs', id: 'r1', revision: 7 });
    show(false);
    expect(seen).toEqual([]);
  });
});
