import { extent, linePath, ticks } from '../components/chart-scale';
import { championFirst } from '../format/aliases';
import {
  formatBytes,
  formatChange,
  formatColumn,
  formatLatency,
  formatNumber,
  formatPercent
} from '../format/numbers';
import { choicesOf, inputOf, paramText, paramValue, readParams } from '../format/params';
import { formatDuration, formatSpan } from '../format/times';
import { type PipelineParam } from '../api/types';

function param(type: string, value: PipelineParam['default'] = null): PipelineParam {
  return { name: 'p', type, default: value, help: '' };
}

describe('numbers', () => {
  it.each([
    [0, '0'],
    [12.324159, '12.32'],
    [-0.0512345, '−0.05123'],
    [4500, '4,500'],
    [336776, '336,776'],
    [1234.56, '1,234.6'],
    [0.00001234, '1.23e−5'],
    [2.5e12, '2.50e+12'],
    [null, '–'],
    [Number.NaN, '–']
  ])('shows %p as %p', (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });

  it('gives all numbers of a column as many decimals', () => {
    const format = formatColumn([14.2212, 15.5, null]);
    expect([14.2212, 15.5, null].map(format)).toEqual(['14.22', '15.50', '–']);
    expect(formatColumn([1, 2])(2)).toBe('2');
  });

  it('shows shares, changes, sizes and latencies', () => {
    expect(formatPercent(0.125, 1)).toBe('12.5 %');
    expect(formatChange(0.078)).toBe('+7.8 %');
    expect(formatChange(-0.05)).toBe('−5.0 %');
    expect(formatBytes(999)).toBe('999 B');
    expect(formatBytes(12_345)).toBe('12 kB');
    expect(formatBytes(1_500_000)).toBe('1.5 MB');
    expect(formatLatency(0.131)).toBe('131 µs');
    expect(formatLatency(14.9111)).toBe('14.9 ms');
    expect(formatLatency(null)).toBe('–');
  });
});

describe('durations', () => {
  it.each([
    [120, '120 ms'],
    [1500, '1.5 s'],
    [59_999, '59 s'],
    [71_000, '1 min 11 s'],
    [3_660_000, '1 h 1 min'],
    [90_000_000, '1 d 1 h']
  ])('shows %p ms as %p', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it('counts on while something is not over, and never backwards', () => {
    expect(formatSpan(1000, 0, 3000)).toBe('2.0 s');
    expect(formatSpan(1000, 2000, 9000)).toBe('1.0 s');
    expect(formatSpan(5000, 0, 3000)).toBe('0 ms');
    expect(formatSpan(0, 0, 3000)).toBe('–');
  });
});

describe('parameters', () => {
  it('are entered by what their type is', () => {
    expect(inputOf(param('int'))).toBe('integer');
    expect(inputOf(param('float or None'))).toBe('number');
    expect(inputOf(param('bool'))).toBe('checkbox');
    expect(inputOf(param('bool or None'))).toBe('text');
    expect(inputOf(param('list[int]'))).toBe('text');
    expect(inputOf(param("one of 'mae', 'rmse'"))).toBe('choice');
    expect(choicesOf(param("one of 'mae', 'rmse'"))).toEqual(['mae', 'rmse']);
    expect(choicesOf(param('one of 1, 2'))).toEqual([]);
  });

  it('become the value that the text stands for', () => {
    expect(paramValue(param('int', 3), ' 7 ')).toBe(7);
    expect(paramValue(param('float', 1), '1e-3')).toBe(0.001);
    expect(paramValue(param('bool', false), 'true')).toBe(true);
    expect(paramValue(param('int or None', 3), '')).toBeNull();
    expect(paramValue(param('str', 'x'), ' kept as it is ')).toBe(' kept as it is ');
    expect(paramText([1, 2])).toBe('[1, 2]'.replace(' ', ''));
    expect(paramText(null)).toBe('');
  });

  it.each([
    ['int', '1.5'],
    ['int', '12345678901234567890'],
    ['int', ''],
    ['float', 'much'],
    ['float', 'Infinity']
  ])('are refused when %p is given %p', (type, text) => {
    expect(() => paramValue(param(type, 1), text)).toThrow(RangeError);
  });

  it('are sent only where they differ from the defaults', () => {
    const params = [
      { name: 'depth', type: 'int', default: 4, help: '' },
      { name: 'rows', type: 'int', default: 100, help: '' },
      { name: 'rate', type: 'float', default: 0.1, help: '' }
    ];
    expect(readParams(params, { depth: '4', rows: '200', rate: 'fast' })).toEqual({
      values: { rows: 200 },
      wrong: ['rate']
    });
  });
});

describe('charts', () => {
  it('have round numbers on their axes', () => {
    expect(ticks(12.3, 24.9, 3)).toEqual([10, 15, 20, 25]);
    expect(ticks(0, 0.3, 3)).toEqual([0, 0.1, 0.2, 0.3]);
    expect(ticks(-1, 1, 4)).toEqual([-1, -0.5, 0, 0.5, 1]);
  });

  it('span what is known, and something when all is the same or nothing is known', () => {
    expect(extent([3, null, 1, Number.NaN])).toEqual([1, 3]);
    expect(extent([5, 5])).toEqual([4.5, 5.5]);
    expect(extent([0])).toEqual([-1, 1]);
    expect(extent([null])).toEqual([0, 1]);
  });

  it('leave a gap where a value is missing', () => {
    expect(linePath([[0, 1], [10, 2.04], null, [20, 3], [30, 4]])).toBe('M0 1L10 2M20 3L30 4');
  });
});

it('aliases begin with the champion', () => {
  expect(['zeta', 'previous', 'alpha', 'champion', 'challenger'].sort(championFirst)).toEqual([
    'champion',
    'challenger',
    'previous',
    'alpha',
    'zeta'
  ]);
});
