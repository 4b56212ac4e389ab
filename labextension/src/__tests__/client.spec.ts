import { WorkbenchClient } from '../api/client';
import { Problem } from '../api/problem';
import { TestServer } from './control-plane';

describe('WorkbenchClient', () => {
  const server = new TestServer();
  let client: WorkbenchClient;

  beforeAll(async () => {
    client = new WorkbenchClient(await server.start());
  });
  afterAll(() => server.stop());
  beforeEach(() => {
    server.requests.length = 0;
    server.reply = () => ({ body: [] });
  });

  async function problemOf(call: Promise<unknown>): Promise<Problem> {
    const reason: unknown = await call.then(
      () => null,
      (thrown: unknown) => thrown
    );
    expect(reason).toBeInstanceOf(Problem);
    return reason as Problem;
  }

  it('sends requests below the base URL of the server, with its token', async () => {
    await client.models();
    expect(server.requests).toEqual([
      {
        method: 'GET',
        url: '/user/a%40b/mlops-workbench/api/models',
        body: null,
        token: 'token secret'
      }
    ]);
  });

  it('encodes a name as one part of the path', async () => {
    server.reply = () => ({ body: {} });
    await client.run('a/b c?é');
    expect(server.requests[0].url).toBe('/user/a%40b/mlops-workbench/api/runs/a%2Fb%20c%3F%C3%A9');
  });

  it('keeps the folders in the path of an artifact and encodes their names', async () => {
    server.reply = () => ({ body: 'PNG', type: 'image/png' });
    const blob = await client.artifact('1a2b', 'figures/loss #1.png');
    expect(server.requests[0].url).toBe(
      '/user/a%40b/mlops-workbench/api/runs/1a2b/artifacts/figures/loss%20%231.png'
    );
    expect(blob.type).toBe('image/png');
    expect(await blob.text()).toBe('PNG');
  });

  it('sends filters as a query without undefined ones', async () => {
    await client.runs({ experiment: 'flight delays', kind: undefined, limit: 5 });
    expect(server.requests[0].url).toContain('/api/runs?experiment=flight%20delays&limit=5');
  });

  it('sends a body as JSON', async () => {
    server.reply = () => ({ status: 202, body: { id: 'p1' } });
    const run = await client.runPipeline('flights', { months: '[1, 2]', depth: 'null' });
    expect(run.id).toBe('p1');
    expect(server.requests[0]).toMatchObject({
      method: 'POST',
      url: '/user/a%40b/mlops-workbench/api/pipelines/flights/runs',
      body: { texts: { months: '[1, 2]', depth: 'null' } }
    });
  });

  it('accepts an answer without a body', async () => {
    server.reply = () => ({ status: 204 });
    await expect(client.removeEndpoint('flights')).resolves.toBeUndefined();
  });

  it('turns an error into a problem with message, place and hint', async () => {
    const body = {
      code: 'not_found',
      message: 'no run x',
      where: 'index',
      hint: "did you mean 'y'?"
    };
    server.reply = () => ({ status: 404, body });
    const problem = await problemOf(client.run('x'));
    expect(problem).toMatchObject({ ...body, status: 404 });
  });

  it('turns an answer that is not JSON into a problem', async () => {
    server.reply = () => ({ status: 502, body: '<html>Bad Gateway</html>', type: 'text/html' });
    const problem = await problemOf(client.models());
    expect(problem.status).toBe(502);
    expect(problem.message).toContain('502');
  });

  it('rejects with a problem if the server does not answer', async () => {
    const gone = new TestServer();
    const settings = await gone.start();
    await gone.stop();
    const problem = await problemOf(new WorkbenchClient(settings).models());
    expect(problem).toMatchObject({ code: 'unreachable', status: 0 });
    expect(problem.hint).not.toBeNull();
  });
});
