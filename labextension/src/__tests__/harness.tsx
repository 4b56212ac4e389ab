import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';
import { render, type RenderResult } from '@testing-library/react';
import * as React from 'react';

import { WorkbenchClient } from '../api/client';
import { type Run } from '../api/types';
import { WorkbenchContext } from '../components/context';
import { Changes } from '../model/changes';
import { Preferences } from '../model/preferences';
import { WorkbenchModel } from '../model/workbench';
import { type Noun } from '../tokens';
import { type Reply, TestServer } from './control-plane';

/** A model on a server with the answers of the test, and a context for components. */
export class Harness {
  readonly server = new TestServer();
  readonly opened: [Noun, string][] = [];
  readonly preferences = new Preferences();
  model!: WorkbenchModel;

  async start(): Promise<void> {
    const client = new WorkbenchClient(await this.server.start());
    const events = { stream: new Signal({}) } as unknown as ConstructorParameters<
      typeof Changes
    >[0];
    this.model = new WorkbenchModel(client, new Changes(events, 0), this.preferences);
  }

  async stop(): Promise<void> {
    this.model.dispose();
    await this.server.stop();
  }

  /** Answer paths (below `/api/`, without query) with bodies; anything else with 404. */
  answer(bodies: Record<string, unknown>): void {
    const reply: Reply = ({ url }) => {
      const { pathname, searchParams } = new URL(url, 'http://localhost');
      const path = pathname.replace(/^.*\/api\//, '');
      const kind = searchParams.get('kind');
      const body = bodies[path];
      return path in bodies
        ? { body: kind ? (body as Run[]).filter(item => item.kind === kind) : body }
        : { status: 404, body: { code: 'not_found', message: `nothing at ${path}`, hint: 'look' } };
    };
    this.server.reply = reply;
  }

  show(component: React.ReactElement): RenderResult {
    return render(
      <WorkbenchContext
        value={{
          model: this.model,
          trans: nullTranslator.load('test'),
          rendermime: null,
          insert: null,
          notebook: () => 'flights.ipynb',
          open: (noun, id) => this.opened.push([noun, id])
        }}
      >
        {component}
      </WorkbenchContext>
    );
  }
}

export function run(fields: Partial<Run>): Run {
  return {
    uid: 'u1',
    run_id: 'm1',
    experiment: 'flights',
    name: 'boosted',
    kind: 'run',
    status: 'FINISHED',
    start_ms: Date.now() - 60_000,
    end_ms: Date.now() - 30_000,
    parent_uid: '',
    origin: '',
    user: '',
    notebook: 'notebooks/flight delays.ipynb',
    params: {},
    metrics: {},
    tags: {},
    error: '',
    ...fields
  };
}
