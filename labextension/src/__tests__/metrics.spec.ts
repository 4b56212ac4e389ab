import { metricNames, resourceName } from '../format/metrics';
import { metricLine } from '../pages/run';
import { metricOf } from '../panel/runs';

const METRICS = { 'system/cost': 0.5, mae: 12.25, 'system/peak_memory_megabytes': 80, rmse: 20 };

describe('metrics', () => {
  it('have other names than system metrics', () => {
    expect(metricNames(METRICS)).toEqual(['mae', 'rmse']);
    expect(metricNames(METRICS, true)).toEqual(['system/cost', 'system/peak_memory_megabytes']);
  });

  it('are shown beside a run; system metrics are not', () => {
    const run = { metrics: METRICS } as unknown as Parameters<typeof metricOf>[0];
    expect(metricOf(run, '')).toEqual(['mae', 12.25]);
    expect(metricOf({ ...run, metrics: { 'system/cost': 1 } }, '')).toEqual(['', null]);
    expect(metricLine(METRICS)).toContain('mae');
    expect(metricLine(METRICS)).not.toContain('system');
  });
});

describe('resources', () => {
  it('have a label in words', () => {
    expect(resourceName('system/peak_memory_megabytes', {})).toBe('peak memory megabytes');
  });

  it('for cost and energy have a unit or a source in the label', () => {
    const tags = { 'mlops.currency': 'CHF', 'mlops.energy': 'estimated' };
    expect(resourceName('system/cost', tags)).toBe('cost (CHF)');
    expect(resourceName('system/energy_wh', tags)).toBe('energy wh (estimated)');
    expect(resourceName('system/cost', {})).toBe('cost');
  });
});
