import { fireEvent, screen, within } from '@testing-library/react';
import * as React from 'react';

import { type Endpoint, type PipelineRun, type RunDetail } from '../api/types';
import { EndpointPage } from '../pages/endpoint';
import { PipelinePage } from '../pages/pipeline';
import { RunPage } from '../pages/run';
import { Harness, run } from './harness';

describe('pages', () => {
  let harness: Harness;

  beforeEach(async () => {
    harness = new Harness();
    await harness.start();
  });
  afterEach(() => harness.stop());

  function detail(fields: Partial<RunDetail>): RunDetail {
    return {
      run: run({}),
      source: '',
      output: '',
      traceback: '',
      artifacts: [],
      models: [],
      datasets: [],
      history: {},
      points: {},
      defaults: [],
      cells: [],
      warnings: [],
      children: [],
      ...fields
    };
  }

  it('a run shows parameters, metrics, curves, source, output and data', async () => {
    const names = Array.from(
      { length: 20 },
      (_, index) => [`model__p${index}`, String(index)] as const
    );
    const history = [1, 2, 3].map(step => ({
      step,
      at_ms: step,
      value: step === 2 ? null : 1 / step
    }));
    harness.answer({
      'runs/u1': detail({
        run: run({
          params: { ...Object.fromEntries(names), depth: '6' },
          metrics: { mae: 12.3242, loss: 0.3333, lost: null, bad: 'NaN', far: '-Infinity' }
        }),
        source: 'print("`" * 3)',
        output: 'done\n',
        history: { loss: history },
        datasets: [
          {
            name: 'X_train',
            context: 'training',
            digest: 'abcdef012345',
            rows: 4500,
            columns: 6,
            covers: 'content',
            first_ms: 0,
            schema: '',
            snapshot: ''
          }
        ]
      })
    });
    const titles: string[] = [];
    harness.show(<RunPage uid="u1" setTitle={title => titles.push(title)} />);
    await screen.findByRole('heading', { level: 1, name: 'boosted' });
    expect(titles).toEqual(['boosted']);

    const params = within(screen.getByRole('region', { name: 'Parameters' }));
    expect(params.getByText('depth')).toBeTruthy();
    expect(params.queryByText('model__p9')).toBeNull();
    fireEvent.click(params.getByRole('button', { name: 'Show all 21' }));
    expect(params.getByText('model__p9')).toBeTruthy();

    const metrics = within(screen.getByRole('region', { name: 'Metrics' }));
    expect(metrics.getByText('12.32').title).toBe('12.3242');
    expect(metrics.getByText('–').title).toBe('unknown');
    expect(metrics.getByText('NaN').title).toBe('NaN');
    expect(metrics.getByText('−∞').title).toBe('-Infinity');
    expect(metrics.getByRole('img', { name: 'loss over 3 steps, from 1 to 0.3333' })).toBeTruthy();

    expect(
      within(screen.getByRole('region', { name: 'Source' })).getByText('print("`" * 3)')
    ).toBeTruthy();
    expect(within(screen.getByRole('region', { name: 'Output' })).getByText('done')).toBeTruthy();
    expect(within(screen.getByRole('table', { name: 'Data' })).getByText('4,500')).toBeTruthy();
    expect(screen.queryByRole('button', { name: 'Register…' })).toBeNull();
  });

  it('a failed run shows its error; a figure with two files is shown once, as JSON', async () => {
    const file = { size: 10, kind: 'figure', digest: 'd' };
    harness.answer({
      'runs/u1': detail({
        run: run({ status: 'FAILED', error: 'ValueError: no' }),
        traceback: 'Traceback\nValueError: no',
        artifacts: [
          { ...file, path: 'f/errors.html', media_type: 'text/html' },
          { ...file, path: 'f/errors.plotly.json', media_type: 'application/vnd.plotly.v1+json' },
          { ...file, path: 'report.html', media_type: 'text/html', kind: 'file' }
        ]
      }),
      'runs/u1/artifacts/f/errors.plotly.json': { data: [], layout: {} }
    });
    harness.show(<RunPage uid="u1" setTitle={() => undefined} />);
    const why = await screen.findByRole('region', { name: 'Error' });
    expect(why.textContent).toContain('ValueError: no');
    const figures = within(screen.getByRole('region', { name: 'Figures' }));
    expect(figures.getAllByRole('figure')).toHaveLength(1);
    expect(figures.getByText('errors.plotly.json')).toBeTruthy();
    const files = within(screen.getByRole('table', { name: 'Files' }));
    expect(files.getByText('report.html')).toBeTruthy();
  });

  it('a run that does not exist shows the problem', async () => {
    harness.answer({});
    harness.show(<RunPage uid="u9" setTitle={() => undefined} />);
    expect((await screen.findByRole('alert')).textContent).toContain('nothing at runs/u9');
  });

  it('an endpoint shows its windows compared with the training data', async () => {
    const endpoint: Endpoint = {
      name: 'flights',
      model: 'team/flights@champion',
      version: 2,
      wanted_version: 3,
      previous: 1,
      state: 'updating',
      url: 'http://127.0.0.1:1',
      pid: 7,
      since_ms: Date.now(),
      requests: 1234,
      rows: 5,
      errors: 1,
      p50_ms: 0.4,
      p95_ms: 0.6,
      p99_ms: null,
      rate: 12.5,
      message: 'loading version 3',
      digest: '0123456789abcdef',
      runtime: 'sklearn-compiled',
      uncompiled: '',
      workers: 1
    };
    const drift = { kind: 'numeric', floor: 0.1, p_value: 0.001, missing_change: 0 };
    const window = {
      endpoint: 'flights',
      start_ms: 0,
      end_ms: 1,
      rows: 100,
      versions: [1, 2],
      reference_quality: 10,
      metric: 'mae',
      coverage: 0.5,
      drifted: false,
      degraded: false,
      features: [],
      note: ''
    };
    const windows = [
      {
        ...window,
        label: '2013-04',
        quality: 10.25,
        features: [{ ...drift, name: 'temp', effect: 0.02, drifted: false }]
      },
      {
        ...window,
        label: '2013-05',
        quality: 12.5,
        degraded: true,
        drifted: true,
        features: [{ ...drift, name: 'temp', effect: 0.5, drifted: true }]
      },
      { ...window, label: '2013-06', quality: null }
    ];
    const spec = {
      endpoint: 'flights',
      window: 'month',
      metric: 'mae',
      max_degradation: 0.1,
      pipeline: '',
      params: {},
      enabled: true
    };
    harness.answer({
      endpoints: [endpoint],
      alerts: [
        {
          id: 'a',
          endpoint: 'flights',
          kind: 'drift',
          window: '2013-05',
          message: 'temp moved',
          at_ms: 1,
          version: 2,
          pipeline_run: '',
          resolved_ms: 0
        }
      ],
      monitors: [{ spec, windows, alerts: [], evaluated_ms: 5 }]
    });
    harness.show(<EndpointPage name="flights" />);
    const table = within(await screen.findByRole('table', { name: 'Windows' }));
    expect(screen.getByText('Version 2 → 3')).toBeTruthy();
    expect(screen.getByText('loading version 3')).toBeTruthy();
    expect(screen.getByText('0123456789ab').title).toContain('0123456789abcdef');
    expect(screen.getByText('1,234')).toBeTruthy();
    const cells = table.getAllByRole('row').map(row => row.textContent);
    expect(cells[1]).toContain('10.25+2.5 %');
    expect(cells[2]).toContain('12.5+25.0 %');
    expect(cells[2]).toContain('degraded drift');
    expect(cells[3]).toContain('–');
    const drifts = within(screen.getByRole('table', { name: 'Drift by column and window' }));
    expect(drifts.getByText('0.5').className).toContain('mw-drifted');
    expect(drifts.getByText('0.02').className).not.toContain('mw-drifted');
    expect((await screen.findByRole('list', { name: 'Alerts' })).textContent).toContain(
      'temp moved'
    );
    fireEvent.click(screen.getByRole('button', { name: 'team/flights@champion' }));
    expect(harness.opened).toEqual([['model', 'team/flights']]);
  });

  it('an endpoint that does not exist has an empty state', async () => {
    harness.answer({ endpoints: [], alerts: [], monitors: [] });
    harness.show(<EndpointPage name="flights" />);
    expect(await screen.findByText('No endpoint flights')).toBeTruthy();
  });

  it('a pipeline shows the stages of its newest run and their progress', async () => {
    const now = Date.now();
    const stage = {
      notebook: 'n.ipynb',
      run_uid: '',
      start_ms: 0,
      end_ms: 0,
      cells: 0,
      cells_total: 0,
      cached: false,
      cached_from: '',
      notes: [],
      message: ''
    };
    const pipelineRun: PipelineRun = {
      id: 'p1',
      pipeline: 'flights',
      state: 'running',
      reason: 'manual',
      params: { months: '1' },
      kind: 'pipeline',
      run_uid: 'u5',
      start_ms: now - 10_000,
      end_ms: 0,
      published: '',
      message: '',
      stages: [
        {
          ...stage,
          name: 'prepare',
          state: 'succeeded',
          run_uid: 'u6',
          start_ms: now - 10_000,
          end_ms: now - 5000
        },
        {
          ...stage,
          name: 'train',
          state: 'running',
          start_ms: now - 5000,
          cells: 2,
          cells_total: 5,
          cached: false,
          cached_from: '',
          notes: []
        },
        { ...stage, name: 'evaluate', state: 'pending' }
      ]
    };
    const pipeline = {
      name: 'flights',
      path: 'p.yaml',
      stages: ['prepare', 'train', 'evaluate'],
      params: [],
      problem: ''
    };
    harness.answer({
      pipelines: [pipeline],
      'pipeline-runs': [pipelineRun, { ...pipelineRun, id: 'other', pipeline: 'other' }]
    });
    harness.show(<PipelinePage name="flights" />);
    const stages = within(await screen.findByRole('list', { name: 'Stages' })).getAllByRole(
      'listitem'
    );
    expect(stages.map(item => within(item).getByRole('img').getAttribute('aria-label'))).toEqual([
      'Succeeded',
      'Running',
      'Pending'
    ]);
    expect(stages[1].textContent).toContain('2 of 5 cells');
    const progress = within(stages[1]).getByRole('progressbar', { name: 'Progress of train' });
    expect((progress as HTMLProgressElement).value).toBe(2);
    expect(screen.getByRole('button', { name: 'Cancel…' })).toBeTruthy();
    expect(
      within(screen.getByRole('table', { name: 'Runs' })).getAllByRole('rowheader')
    ).toHaveLength(1);
    fireEvent.click(screen.getByRole('button', { name: 'prepare' }));
    expect(harness.opened).toEqual([['run', 'u6']]);
  });

  it('a run whose gate failed is shown as not published, with the reason', async () => {
    const run: PipelineRun = {
      id: 'p1',
      pipeline: 'flights',
      state: 'not_published',
      reason: 'manual',
      params: {},
      run_uid: 'u5',
      start_ms: 1000,
      end_ms: 5000,
      published: '',
      message: 'gate failed: auc >= 0.9 (0.8 < 0.9)',
      kind: 'pipeline',
      stages: [
        {
          name: 'evaluate',
          notebook: 'n.ipynb',
          state: 'refused',
          run_uid: 'u6',
          start_ms: 1000,
          end_ms: 5000,
          cells: 1,
          cells_total: 1,
          cached: false,
          cached_from: '',
          notes: [],
          message: ''
        }
      ]
    };
    harness.answer({ pipelines: [], 'pipeline-runs': [run] });
    harness.show(<PipelinePage name="flights" />);
    const badge = await screen.findByText('Not published');
    expect(badge.className).toBe('mw-badge mw-badge-warn');
    expect(screen.getByRole('status').className).toBe('mw-note mw-note-warn');
    expect(screen.getByRole('status').textContent).toBe(run.message);
    const stages = within(screen.getByRole('list', { name: 'Stages' }));
    expect(stages.getByRole('img', { name: 'Refused' }).className).toContain('mw-dot-warn');
    expect(screen.queryByRole('button', { name: 'Cancel…' })).toBeNull();
  });
});
