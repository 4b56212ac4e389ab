import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import createClient, { type Client } from 'openapi-fetch';

import { Problem } from './problem';
import type { paths } from './schema';
import type {
  Alert,
  Complete,
  Endpoint,
  Experiment,
  ModelVersion,
  MonitorReport,
  ParamTexts,
  Pipeline,
  PipelineRun,
  PromoteRequest,
  RegisteredModel,
  RegisterRequest,
  Run,
  RunDetail,
  WorkspaceStatus
} from './types';

const ROOT = 'mlops-workbench';

/** Description of the server extension. */
export interface IHandshake {
  version: string;
  workspace: string;
  configured: boolean;
  features: string[];
}

/**
 * The control plane, reached through the Jupyter server.
 *
 * The compiler checks paths, parameters, bodies and answers against the OpenAPI document.
 * Every method rejects with a `Problem`.
 */
export class WorkbenchClient {
  constructor(settings: ServerConnection.ISettings = ServerConnection.makeSettings()) {
    this._settings = settings;
    this._api = createClient<paths>({
      baseUrl: URLExt.join(settings.baseUrl, ROOT),
      fetch: request => this._send(request)
    });
  }

  async handshake(): Promise<IHandshake> {
    const url = URLExt.join(this._settings.baseUrl, ROOT, 'handshake');
    const response = await this._request(url, {});
    const body: unknown = await response.json().catch(() => null);
    if (!response.ok) {
      throw Problem.fromBody(body, response);
    }
    return body as IHandshake;
  }

  status(): Promise<WorkspaceStatus> {
    return answer(this._api.GET('/api/status'));
  }

  experiments(): Promise<Experiment[]> {
    return answer(this._api.GET('/api/experiments'));
  }

  runs(query: paths['/api/runs']['get']['parameters']['query'] = {}): Promise<Run[]> {
    return answer(this._api.GET('/api/runs', { params: { query } }));
  }

  run(ref: string): Promise<RunDetail> {
    return answer(this._api.GET('/api/runs/{ref}', { params: { path: { ref } } }));
  }

  /** A file of a run. */
  async artifact(ref: string, path: string): Promise<Blob> {
    const parts = path.split('/').map(encodeURIComponent);
    const base = URLExt.join(this._settings.baseUrl, ROOT, 'api/runs', encodeURIComponent(ref));
    const response = await this._request(`${base}/artifacts/${parts.join('/')}`, {});
    if (!response.ok) {
      throw Problem.fromBody(await response.json().catch(() => null), response);
    }
    return response.blob();
  }

  models(): Promise<RegisteredModel[]> {
    return answer(this._api.GET('/api/models'));
  }

  versions(name: string): Promise<ModelVersion[]> {
    return answer(this._api.GET('/api/models/{name}/versions', { params: { path: { name } } }));
  }

  register(name: string, body: RegisterRequest): Promise<ModelVersion> {
    const params = { path: { name } };
    return answer(this._api.POST('/api/models/{name}/versions', { params, body }));
  }

  promote(name: string, version: number, body: PromoteRequest): Promise<ModelVersion> {
    const params = { path: { name, version } };
    return answer(
      this._api.POST('/api/models/{name}/versions/{version}/promote', { params, body })
    );
  }

  /** Return to the champion before; refused if another version than `leaves` is the champion by now, 0 for any. */
  rollbackModel(name: string, reason: string, leaves: number): Promise<ModelVersion> {
    const params = { path: { name } };
    const body = { reason, leaves };
    return answer(this._api.POST('/api/models/{name}/rollback', { params, body }));
  }

  endpoints(): Promise<Endpoint[]> {
    return answer(this._api.GET('/api/endpoints'));
  }

  endpoint(name: string): Promise<Endpoint> {
    return answer(this._api.GET('/api/endpoints/{name}', { params: { path: { name } } }));
  }

  deploy(name: string, model: string): Promise<Endpoint> {
    const params = { path: { name } };
    return answer(this._api.PUT('/api/endpoints/{name}', { params, body: { model, port: 0 } }));
  }

  /** Return to the version before; refused if another one than `leaves` is served by now, 0 for any. */
  rollbackEndpoint(name: string, reason: string, leaves: number): Promise<Endpoint> {
    const params = { path: { name } };
    const body = { reason, leaves };
    return answer(this._api.POST('/api/endpoints/{name}/rollback', { params, body }));
  }

  async removeEndpoint(name: string): Promise<void> {
    const params = { path: { name } };
    await done(this._api.DELETE('/api/endpoints/{name}', { params }));
  }

  pipelines(): Promise<Pipeline[]> {
    return answer(this._api.GET('/api/pipelines'));
  }

  runPipeline(name: string, texts: ParamTexts): Promise<PipelineRun> {
    const params = { path: { name } };
    const body = { texts };
    return answer(this._api.POST('/api/pipelines/{name}/runs', { params, body }));
  }

  pipelineRuns(limit: number): Promise<PipelineRun[]> {
    return answer(this._api.GET('/api/pipeline-runs', { params: { query: { limit } } }));
  }

  cancelPipelineRun(id: string): Promise<PipelineRun> {
    const params = { path: { run_id: id } };
    return answer(this._api.POST('/api/pipeline-runs/{run_id}/cancel', { params }));
  }

  monitors(): Promise<MonitorReport[]> {
    return answer(this._api.GET('/api/monitors'));
  }

  evaluateMonitor(endpoint: string): Promise<MonitorReport> {
    const params = { path: { endpoint } };
    return answer(this._api.POST('/api/monitors/{endpoint}/evaluate', { params }));
  }

  alerts(): Promise<Alert[]> {
    return answer(this._api.GET('/api/alerts'));
  }

  private async _send(request: Request): Promise<Response> {
    const body = request.method === 'GET' ? undefined : await request.text();
    const headers = Object.fromEntries(request.headers.entries());
    return this._request(request.url, { method: request.method, body: body || undefined, headers });
  }

  private async _request(url: string, init: RequestInit): Promise<Response> {
    try {
      return await ServerConnection.makeRequest(url, init, this._settings);
    } catch (reason) {
      throw new Problem({
        code: 'unreachable',
        message: 'The Jupyter server does not answer.',
        hint: 'Check that it is running. Its terminal shows errors.',
        where: reason instanceof Error ? reason.message : null,
        status: 0
      });
    }
  }

  private readonly _settings: ServerConnection.ISettings;
  private readonly _api: Client<paths>;
}

interface IAnswer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

async function answer<T>(call: Promise<IAnswer<T>>): Promise<Complete<T>> {
  const { data, error, response } = await call;
  if (data === undefined) {
    throw Problem.fromBody(error, response);
  }
  return data as Complete<T>;
}

async function done(call: Promise<IAnswer<unknown>>): Promise<void> {
  const { error, response } = await call;
  if (!response.ok) {
    throw Problem.fromBody(error, response);
  }
}
