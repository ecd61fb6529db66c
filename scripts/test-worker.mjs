// What each process that runs tests does first (jest.config.js): the light runner runs tests in plain Node, so it gives
// them what Jest's own runner would.
import { register } from 'node:module';

const moduleOf = (source) => `data:text/javascript,${encodeURIComponent(source)}`;

// Tests take Jest's functions from `@jest/globals`, which gives them under Jest's own runner only.
const globals = moduleOf(
  'export const { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } = globalThis;',
);
register(
  moduleOf(`export const resolve = (specifier, context, next) => specifier === '@jest/globals'
    ? { url: ${JSON.stringify(globals)}, shortCircuit: true }
    : next(specifier, context);`),
);

// However Jest ends, none of its processes is left behind, whatever a test has left open.
process.once('disconnect', () => process.exit());
