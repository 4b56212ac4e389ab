import { MessageLoop } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';
import { act } from '@testing-library/react';
import * as React from 'react';

import { ShownWidget, useShown } from '../components/shown';

describe('ShownWidget', () => {
  const seen: boolean[] = [];

  function Probe(): React.ReactElement {
    const [count, setCount] = React.useState(0);
    seen.push(useShown());
    return <button onClick={() => setCount(count + 1)}>{`clicked ${count}`}</button>;
  }

  async function settle(): Promise<void> {
    await act(async () => {
      MessageLoop.flush();
      // The widget renders when the browser is idle.
      await new Promise(resolve => setTimeout(resolve, 10));
    });
  }

  it('renders when it is first visible, and keeps its state while it is hidden', async () => {
    const panel = new Panel();
    const widget = new ShownWidget(<Probe />);
    panel.addWidget(widget);
    panel.hide();
    Widget.attach(panel, document.body);
    await settle();
    expect(widget.node.textContent).toBe('');
    expect(seen).toEqual([]);

    panel.show();
    await settle();
    expect(widget.node.textContent).toBe('clicked 0');
    expect(seen.at(-1)).toBe(true);
    act(() => widget.node.querySelector('button')!.click());

    panel.hide();
    await settle();
    expect(seen.at(-1)).toBe(false);
    panel.show();
    await settle();
    expect(seen.at(-1)).toBe(true);
    expect(widget.node.textContent).toBe('clicked 1');
    panel.dispose();
  });
});
