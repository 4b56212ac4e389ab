import { type ISignal, Signal } from '@lumino/signaling';

/** Settings of the user; mirrors `schema/settings.json`. */
export interface IPreferenceValues {
  /** Interval in seconds at which everything is fetched again; 0 for never. */
  refreshSeconds: number;
  /** Number of runs in the list. */
  runLimit: number;
  /** Whether runs of pipeline stages are listed. */
  showStages: boolean;
  /** Metric shown beside a run; empty for the run's first metric. */
  runMetric: string;
}

export const DEFAULTS: IPreferenceValues = {
  refreshSeconds: 60,
  runLimit: 50,
  showStages: false,
  runMetric: ''
};

/** The settings of the user, and a signal that they have changed. */
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
