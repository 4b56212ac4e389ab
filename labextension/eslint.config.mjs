import js from '@eslint/js';
import jupyter from '@jupyter/eslint-plugin';
import prettier from 'eslint-config-prettier';
import a11y from 'eslint-plugin-jsx-a11y';
import hooks from 'eslint-plugin-react-hooks';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

export default defineConfig([
  // The generated file is checked by being generated anew.
  { ignores: ['coverage', 'lib', 'node_modules', '**/*.js', '**/*.mjs', 'src/api/schema.ts'] },
  js.configs.recommended,
  { plugins: { jupyter } },
  jupyter.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [
      tseslint.configs.recommendedTypeChecked,
      a11y.flatConfigs.recommended,
      hooks.configs.flat['recommended-latest']
    ],
    languageOptions: {
      parserOptions: { project: 'tsconfig.test.json', tsconfigRootDir: import.meta.dirname }
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/naming-convention': [
        'error',
        { selector: 'interface', format: ['PascalCase'], custom: { regex: '^I[A-Z]', match: true } }
      ],
      '@typescript-eslint/no-namespace': 'off',
      '@typescript-eslint/no-explicit-any': 'error',
      // Signals bind the receiver themselves: signal.connect(this._onChange, this).
      '@typescript-eslint/unbound-method': 'off',
      // The whole bundle is smaller than most icons of the page; loading it in pieces gains nothing.
      'jupyter/prefer-lazy-imports': 'off',
      'max-lines': ['error', 400],
      curly: ['error', 'all'],
      eqeqeq: 'error',
      'prefer-arrow-callback': 'error'
    }
  },
  prettier
]);
