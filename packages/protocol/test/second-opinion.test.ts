import { describe, test } from '@jest/globals';
import fc from 'fast-check';
import { expectEqual } from './equality.js';
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
        expectEqual(type.toObject(type.decode(bytes), { longs: String }), reflected);
        const theirs = Buffer.from(type.encode(type.fromObject(reflected)).finish());
        expectEqual(codec.decode(theirs), message);
        expectEqual(theirs.toString('hex'), bytes.toString('hex'));
      }),
      { numRuns: 40 },
    );
  });
});
