/**
 * @jest-environment node
 */
import { execFileSync } from 'child_process';
import { readFileSync } from 'fs';
import { join } from 'path';

import { DEFAULTS } from '../model/preferences';

const ROOT = join(__dirname, '..', '..');

function text(...path: string[]): string {
  return readFileSync(join(ROOT, ...path), 'utf8');
}

function node(script: string[], args: string[], input?: string): string {
  return execFileSync(process.execPath, [join(ROOT, 'node_modules', ...script), ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    input,
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'ignore'],
    maxBuffer: 2 ** 26
  });
}

it('the types of the client are those of the OpenAPI document (else: jlpm generate)', () => {
  const source = node(['openapi-typescript', 'bin', 'cli.js'], ['openapi.json']);
  const formatted = node(
    ['prettier', 'bin', 'prettier.cjs'],
    ['--stdin-filepath', 'src/api/schema.ts'],
    source
  );
  expect(text('src', 'api', 'schema.ts')).toBe(formatted);
}, 60_000);

it('the settings have the same defaults as without a settings registry', () => {
  const schema = JSON.parse(text('schema', 'settings.json')) as {
    properties: Record<string, { default: unknown }>;
  };
  const defaults = Object.fromEntries(
    Object.entries(schema.properties).map(([name, property]) => [name, property.default])
  );
  expect(defaults).toEqual(DEFAULTS);
});
