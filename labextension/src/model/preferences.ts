import { type ISignal, Signal } from '@lumino/signaling';

/** What the user may choose; mirrors `schema/settings.json`. */
export interface IPreferenceValues {
  /** Seconds between two times that everything is fetched again, 0 for never. */
  refreshSeconds: number;
  /** Newest runs that are listed. */
  runLimit: number;
  /** Whether runs of pipeline stages are listed. */
  showStages: boolean;
  /** Metric shown beside a run; empty for the first it has. */
  runMetric: string;
}

export const DEFAULTS: IPreferenceValues = {
  refreshSeconds: 60,
  runLimit: 50,
  showStages: false,
  runMetric: ''
};

/** The user's choices, and a signal when they choose otherwise. */
export class Preferences {
  get values(): IPreferenceValues {
    return this._values;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  set(values: Partial<IPreferenceValues>): void {
    this._values = { ...DEFAULTS, ...values };
    this._changed.emit();
  }

  private _values = DEFAULTS;
  private readonly _changed = new Signal<this, void>(this);
}
