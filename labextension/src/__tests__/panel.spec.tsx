import { act, fireEvent, screen, waitFor, within } from '@testing-library/react';
import * as React from 'react';

import { PanelHeader } from '../panel/header';
import { EndpointsSection } from '../panel/endpoints';
import { PipelinesSection } from '../panel/pipelines';
import { RunsSection } from '../panel/runs';
import { Harness, run } from './harness';

describe('the panel', () => {
  let harness: Harness;

  beforeEach(async () => {
    harness = new Harness();
    await harness.start();
  });
  afterEach(() => harness.stop());

  it('shows how to create the first run', async () => {
    harness.answer({ runs: [], experiments: [] });
    harness.show(<RunsSection />);
    expect(await screen.findByText('No runs yet')).toBeTruthy();
    expect(screen.getByText(/^%load_ext/, { selector: 'pre' })).toBeTruthy();
    expect(screen.getByText(/^%%track/, { selector: 'pre' })).toBeTruthy();
  });

  it('says in a quiet line that new runs are still being read', async () => {
    const ingest = { tracking: 'sqlite', files: 1, backlog_bytes: 9, lag_seconds: 0, problem: '' };
    const status = { root: '/w', open_alerts: 0, ingest: { ...ingest, catching_up: true } };
    harness.answer({ status });
    harness.show(<PanelHeader />);
    expect(await screen.findByText('Reading new runs')).toBeTruthy();
    harness.answer({ status: { ...status, ingest: { ...ingest, catching_up: false } } });
    act(() => harness.model.refresh());
    expect(await screen.findByText(/pending/)).toBeTruthy();
  });

  it('lists runs with state and metric, and opens one', async () => {
    const runs = [
      run({ metrics: { mae: 12.3242, rmse: 17 } }),
      run({ uid: 'u2', name: 'bad', status: 'FAILED', error: 'ValueError: no' })
    ];
    harness.answer({ runs, experiments: [] });
    harness.show(<RunsSection />);
    const rows = within(await screen.findByRole('list', { name: 'Runs' }));
    const good = await rows.findByRole('button', { name: /boosted/ });
    expect(good.textContent).toContain('12.32');
    expect(within(good).getByRole('img', { name: 'Finished' })).toBeTruthy();
    expect(rows.getByText(/ValueError: no/)).toBeTruthy();
    fireEvent.click(good);
    expect(harness.opened).toEqual([['run', 'u1']]);
  });

  it('fetches runs without stages, and stages too if the settings say so', async () => {
    harness.answer({ runs: [], experiments: [] });
    harness.show(<RunsSection />);
    await screen.findByText('No runs yet');
    const kinds = (): string[] =>
      harness.server.requests
        .filter(request => request.url.includes('/api/runs'))
        .map(request => new URL(request.url, 'http://x').searchParams.get('kind') ?? 'all');
    expect(kinds().sort()).toEqual(['pipeline', 'run']);
    act(() => harness.preferences.set({ showStages: true, runLimit: 7 }));
    await waitFor(() => expect(kinds()).toContain('all'));
    expect(harness.server.requests.at(-1)?.url).toContain('limit=7');
  });

  it('shows the metric of the settings, and none for a run without it', async () => {
    harness.preferences.set({ runMetric: 'rmse', showStages: true });
    const runs = [
      run({ metrics: { mae: 1, rmse: 17.5 } }),
      run({ uid: 'u2', name: 'other', metrics: { mae: 3 } })
    ];
    harness.answer({ runs, experiments: [] });
    harness.show(<RunsSection />);
    expect((await screen.findByRole('button', { name: /boosted/ })).textContent).toContain('17.5');
    expect(screen.getByRole('button', { name: /other/ }).textContent).not.toContain('3mae');
  });

  it('moves between rows with the arrow keys', async () => {
    harness.preferences.set({ showStages: true });
    const runs = ['a', 'b', 'c'].map(name => run({ uid: name, name }));
    harness.answer({ runs, experiments: [] });
    harness.show(<RunsSection />);
    const list = await screen.findByRole('list', { name: 'Runs' });
    const rows = within(list).getAllByRole('button');
    rows[0].focus();
    fireEvent.keyDown(rows[0], { key: 'ArrowDown' });
    expect(document.activeElement).toBe(rows[1]);
    fireEvent.keyDown(rows[1], { key: 'End' });
    expect(document.activeElement).toBe(rows[2]);
    fireEvent.keyDown(rows[2], { key: 'ArrowDown' });
    expect(document.activeElement).toBe(rows[2]);
  });

  it('shows a problem with its hint, and tries again', async () => {
    harness.answer({});
    harness.show(<EndpointsSection />);
    const alert = await screen.findByRole('alert');
    expect(alert.textContent).toContain('nothing at endpoints');
    expect(alert.textContent).toContain('look');
    harness.answer({ endpoints: [], alerts: [] });
    fireEvent.click(within(alert).getByRole('button', { name: 'Try again' }));
    expect(await screen.findByText('No endpoints')).toBeTruthy();
    expect(screen.queryByRole('alert')).toBeNull();
  });

  it('is updated after a change', async () => {
    harness.answer({ pipelines: [], 'pipeline-runs': [] });
    harness.show(<PipelinesSection />);
    await screen.findByText('No pipelines');
    const pipeline = {
      name: 'flights',
      path: 'pipelines/flights.yaml',
      stages: ['a', 'b'],
      params: [],
      problem: ''
    };
    harness.answer({ pipelines: [pipeline], 'pipeline-runs': [] });
    harness.model.refresh();
    expect(await screen.findByRole('button', { name: /^No runs yet flights/ })).toBeTruthy();
  });

  it('disables the run button of a pipeline that cannot run', async () => {
    const problem = 'flights.yaml:4: no such notebook';
    const pipeline = { name: 'flights', path: 'p', stages: [], params: [], problem };
    harness.answer({ pipelines: [pipeline], 'pipeline-runs': [] });
    harness.show(<PipelinesSection />);
    const start = await screen.findByRole('button', { name: 'Run flights…' });
    expect((start as HTMLButtonElement).disabled).toBe(true);
    expect(screen.getByTitle(problem)).toBeTruthy();
  });
});
