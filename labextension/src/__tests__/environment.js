const { TestEnvironment } = require('jest-environment-jsdom');

/** jsdom with the fetch of Node, which jsdom lacks. */
module.exports = class extends TestEnvironment {
  async setup() {
    await super.setup();
    for (const name of [
      'fetch',
      'Headers',
      'Request',
      'Response',
      'TextDecoder',
      'TextEncoder',
      'structuredClone'
    ]) {
      this.global[name] = globalThis[name];
    }
    // Node's fetch checks its arguments against these classes.
    for (const name of [
      'AbortController',
      'AbortSignal',
      'Blob',
      'FormData',
      'ReadableStream',
      'URL',
      'URLSearchParams'
    ]) {
      this.global[name] = globalThis[name];
    }
  }
};
