/** A point of a line; `y` null leaves a gap. */
export interface IPoint {
  x: number;
  y: number | null;
}

/** Range of some numbers; it is never empty. */
export function extent(values: (number | null)[], zero = false): [number, number] {
  const known = values.filter((value): value is number => value !== null && Number.isFinite(value));
  if (known.length === 0) {
    return [0, 1];
  }
  let low = Math.min(...known);
  let high = Math.max(...known);
  if (zero) {
    low = Math.min(low, 0);
    high = Math.max(high, 0);
  }
  if (low === high) {
    const room = Math.abs(low) * 0.1 || 1;
    return [low - room, high + room];
  }
  return [low, high];
}

/** About `count` round numbers; the first is at most `low`, the last at least `high`. */
export function ticks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10]
    .map(factor => factor * power)
    .find(size => size >= rough * 0.999)!;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) =>
    // Multiplied, not added up, so that 0.1 stays 0.1.
    Number(((first + index) * step).toPrecision(12))
  );
}

/** SVG path through points in pixels; null interrupts the line. */
export function linePath(points: (readonly [number, number] | null)[]): string {
  let path = '';
  let pen = 'M';
  for (const point of points) {
    if (point === null) {
      pen = 'M';
      continue;
    }
    path += `${pen}${round(point[0])} ${round(point[1])}`;
    pen = 'L';
  }
  return path;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
