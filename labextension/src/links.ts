import { URLExt } from '@jupyterlab/coreutils';

import type { Noun } from './tokens';

const NOUNS: readonly Noun[] = ['run', 'model', 'endpoint', 'pipeline'];

/** Addresses that name a thing; `run.url` in a kernel ends with `/lab?mlops-run=<uid>`. */
export const LINK = new RegExp(`[?&]mlops-(?:${NOUNS.join('|')})=[^&#]`);

/** What the address of a page names, and the address without it; null when it names nothing. */
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

/** Where a thing is shown: a page of JupyterLab at the server's address. */
export function linkTo(baseUrl: string, noun: Noun, id: string): string {
  const parameters = new URLSearchParams({ [`mlops-${noun}`]: id });
  return `${URLExt.join(baseUrl, 'lab')}?${parameters.toString()}`;
}
