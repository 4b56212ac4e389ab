import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import type { WorkbenchClient } from '../api/client';
import type {
  Alert,
  Endpoint,
  Experiment,
  ModelVersion,
  MonitorReport,
  Pipeline,
  PipelineRun,
  RegisteredModel,
  Run,
  RunDetail,
  Topic,
  WorkspaceStatus
} from '../api/types';
import { type Changes, EVERYTHING, type IChange } from './changes';
import type { Preferences } from './preferences';
import { Resource } from './resource';

const PIPELINE_RUNS = 50;

/** Data of the workspace, as resources that are updated while they are watched. */
export class WorkbenchModel implements IDisposable {
  constructor(
    readonly client: WorkbenchClient,
    readonly changes: Changes,
    readonly preferences: Preferences
  ) {
    this.status = this._resource(['status', 'runs', 'models', 'endpoints', 'alerts'], () =>
      client.status()
    );
    this.experiments = this._resource(['runs'], () => client.experiments());
    this.runs = this._resource(['runs'], () => this._listRuns());
    this.models = this._resource(['models'], () => client.models());
    this.endpoints = this._resource(['endpoints'], () => client.endpoints());
    this.pipelines = this._resource(['pipelines'], () => client.pipelines());
    this.pipelineRuns = this._resource(['pipelines'], () => client.pipelineRuns(PIPELINE_RUNS));
    this.monitors = this._resource(['monitors', 'alerts'], () => client.monitors());
    this.alerts = this._resource(['alerts', 'monitors'], () => client.alerts());
    preferences.changed.connect(this._onPreferences, this);
    changes.changed.connect((_, change) => this._all.emit(change), this);
  }

  readonly status: Resource<WorkspaceStatus>;
  readonly experiments: Resource<Experiment[]>;
  readonly runs: Resource<Run[]>;
  readonly models: Resource<RegisteredModel[]>;
  readonly endpoints: Resource<Endpoint[]>;
  readonly pipelines: Resource<Pipeline[]>;
  readonly pipelineRuns: Resource<PipelineRun[]>;
  readonly monitors: Resource<MonitorReport[]>;
  readonly alerts: Resource<Alert[]>;

  /** Experiment whose runs are listed; empty for all. */
  get experiment(): string {
    return this._experiment;
  }

  /** List the runs of an experiment; of all experiments for the empty name. */
  selectExperiment(name: string): void {
    if (name !== this._experiment) {
      this._experiment = name;
      this._experimentChanged.emit();
      void this.runs.refresh();
    }
  }

  get experimentChanged(): ISignal<this, void> {
    return this._experimentChanged;
  }

  /** A run with everything its page shows. */
  run(uid: string): Resource<RunDetail> {
    return new Resource({
      fetch: () => this.client.run(uid),
      changes: this._all,
      // A change of a stage affects its parent run, and the event does not name the parent.
      concerns: change => change.topic === 'runs'
    });
  }

  /** Versions of a registered model, newest first. */
  versions(name: string): Resource<ModelVersion[]> {
    return new Resource({
      fetch: async () =>
        (await this.client.versions(name)).sort((one, other) => other.version - one.version),
      changes: this._all,
      concerns: change => change.topic === 'models'
    });
  }

  /** Fetch everything that is watched again. */
  refresh(): void {
    this._all.emit(EVERYTHING);
  }

  get isDisposed(): boolean {
    return this.changes.isDisposed;
  }

  dispose(): void {
    this.preferences.changed.disconnect(this._onPreferences, this);
    this.changes.dispose();
    Signal.clearData(this);
  }

  private _resource<T>(topics: Topic[], fetch: () => Promise<T>): Resource<T> {
    return new Resource({
      fetch,
      changes: this._all,
      concerns: change => topics.includes(change.topic)
    });
  }

  private async _listRuns(): Promise<Run[]> {
    const { runLimit, showStages } = this.preferences.values;
    const query = { limit: runLimit, experiment: this._experiment || undefined };
    if (showStages) {
      return this.client.runs(query);
    }
    // One request per kind: in a common one, the stages of one long pipeline would use up the limit.
    const kinds = await Promise.all(
      ['run', 'pipeline'].map(kind => this.client.runs({ ...query, kind, nested: false }))
    );
    return kinds
      .flat()
      .sort((one, other) => other.start_ms - one.start_ms)
      .slice(0, runLimit);
  }

  private _onPreferences(): void {
    this.changes.seconds = this.preferences.values.refreshSeconds;
    this._all.emit({ topic: 'runs', id: '*', revision: 0 });
  }

  /** Changes from the event stream and from the model itself. */
  private readonly _all = new Signal<this, IChange>(this);
  private readonly _experimentChanged = new Signal<this, void>(this);
  private _experiment = '';
}
