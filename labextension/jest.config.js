// Packages that come as ES modules and are turned into CommonJS for the tests.
const modules = [
  '@jupyter',
  '@jupyterlab',
  '@lumino',
  '@microsoft',
  'exenv-es6',
  'lib0',
  'nanoid',
  'openapi-fetch',
  'y-protocols',
  'yjs'
];

module.exports = {
  testEnvironment: './src/__tests__/environment.js',
  testRegex: 'src/__tests__/.*\\.spec\\.tsx?$',
  setupFiles: ['./src/__tests__/setup.js'],
  moduleNameMapper: { '\\.css$': '<rootDir>/src/__tests__/text.js' },
  transform: { '\\.[jt]sx?$': 'babel-jest', '\\.svg$': '<rootDir>/src/__tests__/raw.js' },
  transformIgnorePatterns: [`/node_modules/(?!(?:${modules.join('|')})/)`]
};
