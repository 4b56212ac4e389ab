import type { TranslationBundle } from '@jupyterlab/translation';

import type { IField } from '../components/forms';

/** The field that every form of a rollback has. */
export function rollbackReason(trans: TranslationBundle): IField {
  return {
    name: 'reason',
    label: trans.__('Reason'),
    value: '',
    required: true,
    help: trans.__(
      'It is recorded. The version that is left comes back only when somebody asks for just that.'
    )
  };
}
