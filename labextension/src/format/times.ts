import { Time } from '@jupyterlab/coreutils';

/** A duration in its two largest units, rounded to the smaller one. */
export function formatDuration(seconds: number | null): string {
  if (seconds === null) {
    return '–';
  }
  if (seconds < 0.9995) {
    return `${Math.round(seconds * 1000)} ms`;
  }
  const tenths = seconds.toFixed(1);
  if (Number(tenths) < 10) {
    return `${tenths} s`;
  }
  const whole = Math.round(seconds);
  if (whole < 60) {
    return `${whole} s`;
  }
  if (whole < 3600) {
    return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) {
    return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }
  const hours = Math.round(seconds / 3600);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Time from one moment to another, or until now while the end is not known (0). */
export function formatSpan(startMs: number, endMs: number, nowMs: number): string {
  const seconds = Math.max(0, (endMs || nowMs) - startMs) / 1000;
  return formatDuration(startMs === 0 ? null : seconds);
}

/** `2 min. ago`. */
export function formatAgo(ms: number): string {
  return Time.formatHuman(new Date(ms), 'short');
}

/** Date and time. */
export function formatMoment(ms: number): string {
  return new Date(ms).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}
