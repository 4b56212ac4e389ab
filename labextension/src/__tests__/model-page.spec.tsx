import { fireEvent, screen, within } from '@testing-library/react';
import * as React from 'react';

import { type ModelVersion } from '../api/types';
import { ModelPage } from '../pages/model';
import { Harness } from './harness';

describe('the page of a model', () => {
  let harness: Harness;

  beforeEach(async () => {
    harness = new Harness();
    await harness.start();
  });
  afterEach(() => harness.stop());

  it('a model shows its champion first and another version on request', async () => {
    const version = (number: number, fields: Partial<ModelVersion>): ModelVersion => ({
      name: 'flights',
      version: number,
      run_uid: `run${number}`,
      run_id: '',
      digest: '',
      quarantine: null,
      aliases: [],
      created_ms: Date.now(),
      metrics: { mae: 10 + number / 2 },
      params: {},
      inputs: [{ name: 'distance', dtype: 'double', required: true }],
      outputs: [{ name: '', dtype: 'double', required: true }],
      gate: null,
      estimator: 'Ridge',
      format: 'skops',
      description: '',
      training: [],
      problem: '',
      untrusted: [],
      signed_by: '',
      signature: 'none',
      notice: '',
      runtime: null,
      ...fields
    });
    const gate = {
      passed: false,
      at_ms: 1,
      override: 'the old one is broken',
      checks: [{ condition: 'mae < 5', passed: false, detail: '11 < 5', kind: 'metric' }]
    };
    harness.answer({
      'models/flights/versions': [
        version(1, {
          aliases: ['champion'],
          runtime: { name: 'sklearn', uncompiled: 'no own form', rows: 216 }
        }),
        version(2, { gate, signed_by: 'f'.repeat(64), signature: 'unknown', untrusted: ['a.B'] })
      ]
    });
    harness.show(<ModelPage name="flights" />);
    await screen.findByRole('heading', { name: 'Version 1' });
    const table = within(screen.getByRole('table', { name: 'Versions' }));
    expect(table.getAllByRole('rowheader').map(cell => cell.textContent)).toEqual([
      'Version 2',
      'Version 1'
    ]);
    expect(table.getByText('10.5')).toBeTruthy();
    expect(screen.getByText('sklearn (no own form), proven on 216 rows')).toBeTruthy();
    expect(screen.queryByRole('button', { name: 'Roll back…' })).toBeNull();

    fireEvent.click(table.getByRole('button', { name: 'Version 2' }));
    await screen.findByRole('heading', { name: 'Version 2' });
    const conditions = within(screen.getByRole('list', { name: 'Conditions of the gate' }));
    expect(screen.getByText(/Promoted although it failed: the old one is broken/)).toBeTruthy();
    expect(screen.getByText('mlops trust a.B')).toBeTruthy();
    expect(screen.getByText(`${'f'.repeat(16)} (not trusted here)`)).toBeTruthy();
    expect(conditions.getByText('mae < 5')).toBeTruthy();
    expect(conditions.getByRole('img', { name: 'Failed' })).toBeTruthy();
  });
});
