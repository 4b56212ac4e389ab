import { readFileSync } from 'fs';
import { join } from 'path';

import { extent, linePath, ticks } from '../components/chart-scale';
import { championFirst } from '../format/aliases';
import {
  formatBytes,
  formatChange,
  formatLatency,
  formatNumber,
  finiteNumber,
  formatShare
} from '../format/numbers';
import { formatDuration, formatSpan } from '../format/times';

type Row<Value> = [value: Value, text: string];

/** The Python tests read the same file. */
const examples = JSON.parse(
  readFileSync(join(__dirname, '../../../tests/core/shown/formats.json'), 'utf8')
) as {
  number: Row<number | string | null>[];
  change: Row<number | null>[];
  share: [value: number, digits: number, text: string][];
  duration: Row<number | null>[];
};

describe('the shared examples', () => {
  it.each(examples.number)('show the number %p as %p', (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });
  it.each(examples.change)('show the change %p as %p', (value, text) => {
    expect(formatChange(value)).toBe(text);
  });
  it.each(examples.share)('show the share %p with %p decimals as %p', (value, digits, text) => {
    expect(formatShare(value, digits)).toBe(text);
  });
  it.each(examples.duration)('show %p seconds as %p', (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });
});

it('a chart has gaps where a value is not a finite number', () => {
  expect([1.5, 'NaN', 'Infinity', null, undefined].map(finiteNumber)).toEqual([
    1.5,
    null,
    null,
    null,
    null
  ]);
});

it('sizes and latencies have a unit that fits', () => {
  expect(formatBytes(999)).toBe('999 B');
  expect(formatBytes(12_345)).toBe('12 kB');
  expect(formatBytes(1_500_000)).toBe('1.5 MB');
  expect(formatLatency(0.131)).toBe('131 µs');
  expect(formatLatency(14.9111)).toBe('14.91 ms');
  expect(formatLatency(null)).toBe('–');
});

it('a relative change is signed per cent', () => {
  const percent = (value: number | null): string => formatShare(value, 1);
  expect(formatChange(0.078, percent)).toBe('+7.8 %');
  expect(formatChange(-0.05, percent)).toBe('−5.0 %');
});

it('a span counts until it ends, and is never negative', () => {
  expect(formatSpan(1000, 0, 3000)).toBe('2.0 s');
  expect(formatSpan(1000, 2000, 9000)).toBe('1.0 s');
  expect(formatSpan(5000, 0, 3000)).toBe('0 ms');
  expect(formatSpan(0, 0, 3000)).toBe('–');
});

describe('charts', () => {
  it('have round numbers on their axes', () => {
    expect(ticks(12.3, 24.9, 3)).toEqual([10, 15, 20, 25]);
    expect(ticks(0, 0.3, 3)).toEqual([0, 0.1, 0.2, 0.3]);
    expect(ticks(-1, 1, 4)).toEqual([-1, -0.5, 0, 0.5, 1]);
  });

  it('have a range that is not empty, even for equal or unknown values', () => {
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
