// Jest's `expect` takes many times as long as these, which counts where values are compared by the thousand.
import { deepEqual } from 'node:assert/strict';
import { describe, test } from '@jest/globals';
import fc from 'fast-check';
import { randomMessage, toReflected } from './random-messages.js';
import { codecs, loadSchema } from './schema.js';

const schema = loadSchema();

describe('protobufjs, which reads the .proto files at run time, agrees on random messages', () => {
  test.each([...codecs])('%s', (name, codec) => {
    const type = schema.lookupType(name);
    fc.assert(
      fc.property(randomMessage(type), (message) => {
        const reflected = toReflected(type, message);
        const bytes = codec.encode(message).finish();
        deepEqual(type.toObject(type.decode(bytes), { longs: String }), reflected);
        const theirs = Buffer.from(type.encode(type.fromObject(reflected)).finish());
        deepEqual(codec.decode(theirs), message);
        deepEqual(theirs.toString('hex'), bytes.toString('hex'));
      }),
      { numRuns: 40 },
    );
  });
});
