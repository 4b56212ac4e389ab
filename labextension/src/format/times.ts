import { Time } from '@jupyterlab/coreutils';

/** How long something took or has been taking, in the two units that matter. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 1) {
    return `${Math.round(seconds * 1000)} ms`;
  }
  if (seconds < 60) {
    return `${seconds < 10 ? seconds.toFixed(1) : Math.floor(seconds)} s`;
  }
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) {
    return `${minutes} min ${Math.floor(seconds % 60)} s`;
  }
  const hours = Math.floor(minutes / 60);
  if (hours < 24) {
    return `${hours} h ${minutes % 60} min`;
  }
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Time from one moment to another, or to now while it is not over (0). */
export function formatSpan(startMs: number, endMs: number, nowMs: number): string {
  return startMs === 0 ? '–' : formatDuration((endMs || nowMs) - startMs);
}

/** `2 min. ago`. */
export function formatAgo(ms: number): string {
  return Time.formatHuman(new Date(ms), 'short');
}

/** Date and time in full, for a title. */
export function formatMoment(ms: number): string {
  return new Date(ms).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}
