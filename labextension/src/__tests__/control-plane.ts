import { createServer, type IncomingMessage, type Server } from 'http';
import { type AddressInfo } from 'net';

import { ServerConnection } from '@jupyterlab/services';

/** A request as it arrived. */
export interface IRequest {
  method: string;
  url: string;
  body: unknown;
  token: string;
}

interface IAnswer {
  status?: number;
  body?: unknown;
  type?: string;
}

/** Status and body of an answer, perhaps later. */
export type Reply = (request: IRequest) => IAnswer | Promise<IAnswer>;

/** An HTTP server in place of Jupyter's; `reply` gives its answers. */
export class TestServer {
  readonly requests: IRequest[] = [];
  reply: Reply = () => ({ body: [] });

  async start(): Promise<ServerConnection.ISettings> {
    this._server = createServer((request, response) => {
      void read(request).then(async text => {
        const seen: IRequest = {
          method: request.method ?? '',
          // JupyterLab appends the time so that no cache answers.
          url: (request.url ?? '').replace(/[?&]\d+$/, ''),
          body: text === '' ? null : JSON.parse(text),
          token: request.headers.authorization ?? ''
        };
        this.requests.push(seen);
        const { status = 200, body, type = 'application/json' } = await this.reply(seen);
        response.writeHead(status, { 'content-type': type });
        response.end(
          body === undefined ? undefined : type === 'application/json' ? JSON.stringify(body) : body
        );
      });
    });
    await new Promise<void>(resolve => this._server!.listen(0, '127.0.0.1', resolve));
    const { port } = this._server.address() as AddressInfo;
    return ServerConnection.makeSettings({
      baseUrl: `http://127.0.0.1:${port}/user/a%40b/`,
      token: 'secret',
      fetch: globalThis.fetch,
      Request: globalThis.Request,
      Headers: globalThis.Headers
    });
  }

  async stop(): Promise<void> {
    this._server?.closeAllConnections();
    await new Promise(resolve => this._server?.close(resolve));
  }

  private _server: Server | null = null;
}

async function read(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) {
    text += String(chunk);
  }
  return text;
}
