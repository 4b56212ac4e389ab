import type { components } from './schema';

/**
 * A type as the control plane sends it, without optional members.
 *
 * The OpenAPI document marks members with a default as optional because a request may omit them.
 * An answer always contains them.
 */
export type Complete<T> = T extends readonly (infer Item)[]
  ? Complete<Item>[]
  : T extends object
    ? { [Key in keyof T]-?: Complete<Exclude<T[Key], undefined>> }
    : T;

type Schemas = components['schemas'];

export type Alert = Complete<Schemas['Alert']>;
export type Endpoint = Complete<Schemas['Endpoint']>;
export type Experiment = Complete<Schemas['Experiment']>;
export type FeatureDrift = Complete<Schemas['FeatureDrift']>;
export type GateResult = Complete<Schemas['GateResult']>;
export type MetricPoint = Complete<Schemas['MetricPoint']>;
export type ModelVersion = Complete<Schemas['ModelVersion']>;
export type MonitorReport = Complete<Schemas['MonitorReport']>;
export type Pipeline = Complete<Schemas['Pipeline']>;
export type PipelineParam = Complete<Schemas['PipelineParam']>;
export type PipelineRun = Complete<Schemas['PipelineRun']>;
export type RegisteredModel = Complete<Schemas['RegisteredModel']>;
export type Run = Complete<Schemas['Run']>;
export type RunArtifact = Complete<Schemas['RunArtifact']>;
export type RunDetail = Complete<Schemas['RunDetail']>;
export type SignatureColumn = Complete<Schemas['SignatureColumn']>;
export type StageRun = Complete<Schemas['StageRun']>;
export type Topic = Schemas['Event']['topic'];
export type Window = Complete<Schemas['Window']>;
export type WorkspaceStatus = Complete<Schemas['WorkspaceStatus']>;

/** What was typed for the parameters of a pipeline; the server converts it to their types. */
export type ParamTexts = NonNullable<Schemas['PipelineRunRequest']['texts']>;
export type RegisterRequest = Schemas['RegisterRequest'];
export type PromoteRequest = Schemas['PromoteRequest'];
