import js from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['build*/', 'dist/', 'node_modules/', 'prebuilds/', 'ts/test/fixtures/', 'instaseg-demo/'] },
  js.configs.recommended,
  {
    files: ['ts/**/*.ts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { project: ['ts/src/tsconfig.json', 'ts/test/tsconfig.json'] } },
    rules: {
      eqeqeq: 'error',
      'no-restricted-imports': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // An abort rejects with whatever the caller gave as the signal's reason.
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      '@typescript-eslint/only-throw-error': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Methods are passed unbound to Error.captureStackTrace, which only compares them.
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allowArray: true },
      ],
      // What is loaded on first use is loaded by require, of a literal for bundlers: Jest has import() behind a flag only.
      // node-gyp-build is CommonJS with `export =`.
      '@typescript-eslint/no-require-imports': [
        'error',
        {
          allowAsImport: true,
          allow: [
            '^(sharp|undici|proxy-from-env)$',
            '^\\.\\./image/(decode|overlay)\\.js$',
            '/package\\.json$',
            '\\.node$',
          ],
        },
      ],
      'no-restricted-syntax': ['error', { selector: 'ImportExpression', message: 'Jest cannot import(): use require' }],
    },
  },
  {
    // Programs of their own.
    files: ['ts/src/cli/**/*.ts', 'ts/test/**/*.ts'],
    rules: { 'no-restricted-syntax': 'off' },
  },
  {
    // Imports run down the layers only: cli > models > nn > ops > runtime; see docs/architecture.md.
    files: ['ts/src/runtime/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            '**/ops/*',
            '**/nn/*',
            '**/models/*',
            '**/bench/*',
            '**/cli/*',
            '**/weights/*',
            '**/image/*',
            '**/masks/*',
          ],
        },
      ],
    },
  },
  {
    files: ['ts/src/ops/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        { patterns: ['**/nn/*', '**/models/*', '**/bench/*', '**/cli/*', '**/weights/*', '**/image/*', '**/masks/*'] },
      ],
    },
  },
  {
    files: ['ts/src/nn/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': ['error', { patterns: ['**/models/*', '**/bench/*', '**/cli/*'] }],
    },
  },
  {
    // The command line uses what every user of the package has.
    files: ['ts/src/cli/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: ['../ops/*', '../nn/*', '../models/*', '../runtime/*', '../weights/*', '../image/*', '../masks/*'],
        },
      ],
    },
  },
  {
    files: ['scripts/**/*.mjs', 'benchmarks/**/*.mjs', 'examples/**/*.mjs', '*.mjs'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        performance: 'readonly',
        Buffer: 'readonly',
        setTimeout: 'readonly',
        AbortController: 'readonly',
      },
    },
  },
  {
    files: ['scripts/install/projects/**/*.cjs', 'scripts/install/projects/**/*.js'],
    languageOptions: {
      sourceType: 'commonjs',
      globals: {
        ...Object.fromEntries(
          [
            'require',
            'module',
            'process',
            'console',
            'Buffer',
            'setTimeout',
            'setImmediate',
            '__dirname',
            '__filename',
          ].map((name) => [name, 'readonly']),
        ),
        ...Object.fromEntries(
          ['describe', 'test', 'expect', 'beforeAll', 'afterAll'].map((name) => [name, 'readonly']),
        ),
      },
    },
  },
);
