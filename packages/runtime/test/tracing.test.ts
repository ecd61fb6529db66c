import { expect, test } from '@jest/globals';
import { formatTraceparent, parseTraceparent } from '../src/tracing.js';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';

test('a traceparent is read and written as the W3C has it', () => {
  const context = { traceId, spanId, isSampled: true };
  expect(parseTraceparent(`00-${traceId}-${spanId}-01`)).toEqual(context);
  expect(parseTraceparent(`00-${traceId}-${spanId}-00`)).toEqual({ ...context, isSampled: false });
  // Other flags do not matter, and a later version may have more parts.
  expect(parseTraceparent(`00-${traceId}-${spanId}-03`)).toEqual(context);
  expect(parseTraceparent(`01-${traceId}-${spanId}-01-more`)).toEqual(context);
  expect(formatTraceparent(context)).toBe(`00-${traceId}-${spanId}-01`);
  expect(formatTraceparent({ ...context, isSampled: false })).toBe(`00-${traceId}-${spanId}-00`);
});

test.each([
  undefined,
  '',
  `00-${traceId}-${spanId}`,
  `00-${traceId}-${spanId}-01-more`,
  `00-${traceId}-${spanId}-1`,
  `ff-${traceId}-${spanId}-01`,
  `00-${'0'.repeat(32)}-${spanId}-01`,
  `00-${traceId}-${'0'.repeat(16)}-01`,
  `00-${traceId.toUpperCase()}-${spanId}-01`,
  ` 00-${traceId}-${spanId}-01`,
])('%s is no traceparent, so a new trace begins', (text) => {
  expect(parseTraceparent(text)).toBeUndefined();
});
