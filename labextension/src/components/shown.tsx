import { ReactWidget } from '@jupyterlab/ui-components';
import { type Message } from '@lumino/messaging';
import * as React from 'react';

const Shown = React.createContext(true);

/** Whether the widget of the component is visible. */
export function useShown(): boolean {
  return React.useContext(Shown);
}

/**
 * Widget that renders its React element when it is visible for the first time.
 *
 * While it is hidden it keeps its state and watches no resource. A hidden panel therefore sends no requests and
 * does not start the control plane.
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
