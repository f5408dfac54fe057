// Run from the root of the repository: the conformance runner is linted too.

import js from '@eslint/js'

const node = Object.fromEntries(
  ['AbortController', 'AbortSignal', 'Buffer', 'DOMException', 'URL', 'TextDecoder', 'process', 'console', 'setTimeout', 'clearTimeout',
    'setInterval', 'clearInterval', 'setImmediate', 'performance', 'globalThis', 'SharedArrayBuffer'].map((name) => [name, 'readonly']),
)
const commonjs = { require: 'readonly', module: 'writable', exports: 'writable', __dirname: 'readonly', __filename: 'readonly' }

export default [
  { ignores: ['**/node_modules/', '**/.scratch-*/', '**/*.ts', '**/*.mts', '**/*.cts'] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2023, globals: node },
    rules: {
      'eqeqeq': ['error', 'always', { null: 'ignore' }],
      'no-var': 'error',
      'prefer-const': 'error',
      'no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
    },
  },
  { files: ['**/*.js', '**/*.cjs'], languageOptions: { sourceType: 'commonjs', globals: commonjs } },
  { files: ['**/*.mjs'], languageOptions: { sourceType: 'module' } },
]
