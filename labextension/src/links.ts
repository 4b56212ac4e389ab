import { URLExt } from '@jupyterlab/coreutils';

import type { Noun } from './tokens';

const NOUNS: readonly Noun[] = ['run', 'model', 'endpoint', 'pipeline'];

/** Matches the address of an object; `run.url` in a kernel ends with `/lab?mlops-run=<uid>`. */
export const LINK = new RegExp(`[?&]mlops-(?:${NOUNS.join('|')})=[^&#]`);

/** The object that the query of an address names, and the rest of the query; null if it names none. */
export function readLink(search: string): { noun: Noun; id: string; rest: string } | null {
  const parameters = new URLSearchParams(search);
  for (const noun of NOUNS) {
    const name = `mlops-${noun}`;
    const id = parameters.get(name);
    if (id) {
      parameters.delete(name);
      return { noun, id, rest: parameters.size === 0 ? '' : `?${parameters.toString()}` };
    }
  }
  return null;
}

/** Address at which JupyterLab shows an object. */
export function linkTo(baseUrl: string, noun: Noun, id: string): string {
  const parameters = new URLSearchParams({ [`mlops-${noun}`]: id });
  return `${URLExt.join(baseUrl, 'lab')}?${parameters.toString()}`;
}
