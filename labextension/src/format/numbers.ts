const SIGNIFICANT = 4;

/** A measured number with four significant digits; long integers keep all of theirs. */
export function formatNumber(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) {
    return '–';
  }
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-4)) {
    return minus(value.toExponential(SIGNIFICANT - 2));
  }
  if (Number.isInteger(value) || size >= 10 ** (SIGNIFICANT - 1)) {
    return minus(value.toLocaleString('en', { maximumFractionDigits: size >= 1e4 ? 0 : 1 }));
  }
  return minus(value.toLocaleString('en', { maximumSignificantDigits: SIGNIFICANT }));
}

/** Numbers of one column with as many decimals each, four significant digits for the largest. */
export function formatColumn(
  values: (number | null | undefined)[]
): (value: number | null | undefined) => string {
  const known = values.filter(
    (value): value is number => typeof value === 'number' && Number.isFinite(value)
  );
  const largest = Math.max(0, ...known.map(Math.abs));
  if (largest >= 1e9 || (largest > 0 && largest < 1e-4) || known.every(Number.isInteger)) {
    return formatNumber;
  }
  const digits = Math.max(0, SIGNIFICANT - 1 - Math.floor(Math.log10(largest)));
  return value =>
    value === null || value === undefined || !Number.isFinite(value)
      ? '–'
      : minus(
          value.toLocaleString('en', {
            minimumFractionDigits: digits,
            maximumFractionDigits: digits
          })
        );
}

/** A count, with separated thousands. */
export function formatCount(value: number): string {
  return value.toLocaleString('en');
}

/** A share as per cent. */
export function formatPercent(value: number, digits = 0): string {
  return minus((value * 100).toFixed(digits)) + ' %';
}

/** A relative change as signed per cent. */
export function formatChange(value: number): string {
  const text = minus((value * 100).toFixed(1));
  return `${value > 0 ? '+' : ''}${text} %`;
}

/** A size in bytes, in units of 1000. */
export function formatBytes(size: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let index = 0;
  let value = size;
  while (value >= 1000 && index < units.length - 1) {
    value /= 1000;
    index += 1;
  }
  return `${index === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[index]}`;
}

/** Milliseconds of latency. */
export function formatLatency(ms: number | null): string {
  if (ms === null) {
    return '–';
  }
  return ms < 1 ? `${(ms * 1000).toFixed(0)} µs` : `${formatNumber(Number(ms.toPrecision(3)))} ms`;
}

/** A true minus sign: it lines up with digits. */
function minus(text: string): string {
  return text.replace(/-/g, '−');
}
