const SIGNIFICANT = 4;

/**
 * A number as the control plane sends it, see `core/wire/json_numbers.py`: `NaN`, `Infinity`, `-Infinity` and the digits of
 * an integer beyond the range of a double are texts.
 */
export type JsonNumber = number | string;
const WORDS = ['NaN', 'Infinity', '-Infinity'];

/** The number for a chart, which has no place for others than finite ones. */
export function finiteNumber(value: JsonNumber | null | undefined): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/**
 * A measured number: all digits of an integer, four significant digits of another number.
 *
 * `core/shown/formats.py` follows the same rule; `tests/core/shown/formats.json` has examples for both.
 */
export function formatNumber(value: JsonNumber | null | undefined): string {
  if (value === null || value === undefined) {
    return '–';
  }
  if (typeof value === 'string') {
    return WORDS.includes(value) ? formatNumber(Number(value)) : formatDigits(value);
  }
  const size = Math.abs(value);
  if (Number.isNaN(value) || size === Infinity) {
    return minus(String(value).replace('Infinity', '∞'));
  }
  const whole = Number.isInteger(value);
  // Near 2**53 a double loses the last digits of an integer.
  if (whole ? size >= 1e15 : size < 1e-4 || size >= 1e9) {
    const [mantissa, exponent] = value.toExponential(SIGNIFICANT - 1).split('e');
    return minus(`${Number(mantissa)}e${Number(exponent)}`);
  }
  const digits = size < 10 ** SIGNIFICANT ? value.toPrecision(SIGNIFICANT) : value.toFixed(0);
  // Adding zero turns minus zero into zero.
  return minus(
    (whole ? value + 0 : Number(digits)).toLocaleString('en', { maximumFractionDigits: 7 })
  );
}

/** A change with its sign: a number, or what `format` makes of it. */
export function formatChange(
  value: number | null,
  format: (value: number | null) => string = formatNumber
): string {
  return `${value !== null && value > 0 ? '+' : ''}${format(value)}`;
}

/** A share as per cent. */
export function formatShare(value: number | null, digits = 0): string {
  if (value === null) {
    return '–';
  }
  if (!(Math.abs(value * 100) < 1e15)) {
    return `${formatNumber(value * 100)} %`;
  }
  const text = (value * 100).toFixed(digits);
  return `${minus(Number(text) === 0 ? text.replace('-', '') : text)} %`;
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
  return ms < 1 ? `${formatNumber(ms * 1000)} µs` : `${formatNumber(ms)} ms`;
}

/** An integer beyond the range of a double, with an exponent. */
function formatDigits(text: string): string {
  const digits = BigInt(text.replace('-', '')).toString();
  const first = Number(`0.${digits.slice(0, SIGNIFICANT)}`) * 10;
  const rest = Number(digits[SIGNIFICANT]) >= 5 ? 10 ** (1 - SIGNIFICANT) : 0;
  const rounded = Number((first + rest).toFixed(SIGNIFICANT - 1));
  const [mantissa, exponent] = rounded < 10 ? [rounded, digits.length - 1] : [1, digits.length];
  return `${text.startsWith('-') ? '−' : ''}${mantissa}e${exponent}`;
}

/** Replace hyphens by minus signs, which are as wide as digits. */
function minus(text: string): string {
  return text.replace(/-/g, '−');
}
