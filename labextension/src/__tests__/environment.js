const { TestEnvironment } = require('jest-environment-jsdom');

/** A browser's document with Node's fetch, which jsdom leaves out. */
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
    // What Node's fetch checks its arguments against.
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
