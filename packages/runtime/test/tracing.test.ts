import { expect, test } from '@jest/globals';
import { formatTraceparent, parseTraceparent } from '../src/tracing.js';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const SPAN_ID = 'b7ad6b7169203331';

test('a traceparent is read and written as the W3C has it', () => {
  const context = { traceId: TRACE_ID, spanId: SPAN_ID, isSampled: true };
  expect(parseTraceparent(`00-${TRACE_ID}-${SPAN_ID}-01`)).toEqual(context);
  expect(parseTraceparent(`00-${TRACE_ID}-${SPAN_ID}-00`)).toEqual({ ...context, isSampled: false });
  // Other flags do not matter, and a later version may have more parts.
  expect(parseTraceparent(`00-${TRACE_ID}-${SPAN_ID}-03`)).toEqual(context);
  expect(parseTraceparent(`01-${TRACE_ID}-${SPAN_ID}-01-more`)).toEqual(context);
  expect(formatTraceparent(context)).toBe(`00-${TRACE_ID}-${SPAN_ID}-01`);
  expect(formatTraceparent({ ...context, isSampled: false })).toBe(`00-${TRACE_ID}-${SPAN_ID}-00`);
});

test.each([
  undefined,
  '',
  `00-${TRACE_ID}-${SPAN_ID}`,
  `00-${TRACE_ID}-${SPAN_ID}-01-more`,
  `00-${TRACE_ID}-${SPAN_ID}-1`,
  `ff-${TRACE_ID}-${SPAN_ID}-01`,
  `00-${'0'.repeat(32)}-${SPAN_ID}-01`,
  `00-${TRACE_ID}-${'0'.repeat(16)}-01`,
  `00-${TRACE_ID.toUpperCase()}-${SPAN_ID}-01`,
  ` 00-${TRACE_ID}-${SPAN_ID}-01`,
])('%s is no traceparent, so a new trace begins', (text) => {
  expect(parseTraceparent(text)).toBeUndefined();
});
