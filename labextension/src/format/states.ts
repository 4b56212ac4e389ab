import type { TranslationBundle } from '@jupyterlab/translation';

import type { Endpoint, PipelineRun, Run, StageRun } from '../api/types';

/** Colour of a state. */
export type Tone = 'good' | 'busy' | 'bad' | 'warn' | 'idle';

export type State = Run['status'] | Endpoint['state'] | PipelineRun['state'] | StageRun['state'];

const TONES: Record<State, Tone> = {
  RUNNING: 'busy',
  FINISHED: 'good',
  FAILED: 'bad',
  KILLED: 'bad',
  pending: 'idle',
  running: 'busy',
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'warn',
  skipped: 'idle',
  refused: 'warn',
  not_published: 'warn',
  starting: 'busy',
  ready: 'good',
  updating: 'busy',
  stopped: 'idle'
};

export function toneOf(state: State): Tone {
  return TONES[state];
}

/** The state in the user's language. */
export function stateName(state: State, trans: TranslationBundle): string {
  const names: Record<State, string> = {
    RUNNING: trans.__('Running'),
    FINISHED: trans.__('Finished'),
    FAILED: trans.__('Failed'),
    KILLED: trans.__('Killed'),
    pending: trans.__('Pending'),
    running: trans.__('Running'),
    succeeded: trans.__('Succeeded'),
    failed: trans.__('Failed'),
    cancelled: trans.__('Cancelled'),
    skipped: trans.__('Skipped'),
    refused: trans.__('Refused'),
    not_published: trans.__('Not published'),
    starting: trans.__('Starting'),
    ready: trans.__('Ready'),
    updating: trans.__('Updating'),
    stopped: trans.__('Stopped')
  };
  return names[state];
}

/** Whether a pipeline run has not ended. */
export function isActive(state: PipelineRun['state']): boolean {
  return state === 'pending' || state === 'running';
}
