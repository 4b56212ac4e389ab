import { ReactWidget } from '@jupyterlab/ui-components';
import { type Message } from '@lumino/messaging';
import * as React from 'react';

const Shown = React.createContext(true);

/** Whether the component's widget can be seen. */
export function useShown(): boolean {
  return React.useContext(Shown);
}

/**
 * Holds a React element that comes to life when it is first seen.
 *
 * Hidden again, it keeps its state but watches nothing: a panel that nobody looks at asks for nothing, and does
 * not start the control plane.
 */
export class ShownWidget extends ReactWidget {
  constructor(private readonly _element: React.ReactElement) {
    super();
  }

  protected override render(): React.ReactElement {
    this._seen ||= this.isVisible;
    return this._seen ? (
      <Shown.Provider value={this.isVisible}>{this._element}</Shown.Provider>
    ) : (
      <></>
    );
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.update();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.update();
  }

  private _seen = false;
}
