/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  transform: {
    '^.+\\.(ts|js|mjs)$': [
      '@swc/jest',
      {
        jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
        module: { type: 'commonjs' },
        sourceMaps: 'inline',
      },
    ],
  },
  // Published as ES modules only, which jest's require does not load as Node's does.
  transformIgnorePatterns: ['/node_modules/(?!jose/|@stablelib/)'],
  // dist has a copy of package.json.
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  // Many tests wait for a clock or for other processes: one worker more than a small machine has cores.
  maxWorkers: 3,
  testSequencer: '<rootDir>/test/sequencer.js',
  testTimeout: 30_000,
}
