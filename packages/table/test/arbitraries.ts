import type { mvcc } from '@coxswain/protocol';
import fc from 'fast-check';
import type { RangePage, RangeQuery } from '../src/index.js';
import * as commands from './commands.js';
import { text } from './commands.js';

/** Few keys, so that they meet; among them ones that test escaping and bounds. */
const key = fc.constantFrom('a', 'a\0', 'a\0\0', 'a\x01', 'a\xff', 'b', 'bb', 'c', '\xff', '\0');
const end = fc.oneof(fc.constant(''), fc.constant('\0'), key);
const value = fc.string({ maxLength: 6 });
const flag = fc.boolean();

const operation: fc.Arbitrary<mvcc.RequestOp> = fc.oneof(
  fc.tuple(key, value, flag).map((of) => commands.opPut(...of)),
  fc.tuple(key, end, flag).map((of) => commands.opDelete(...of)),
  fc
    .tuple(key, end, fc.nat(3), fc.constantFrom({}, { keysOnly: true }, { countOnly: true }))
    .map(([from, to, limit, how]) => commands.opRange(from, to, { limit, ...how })),
);

const compare: fc.Arbitrary<mvcc.Compare> = fc
  .record({
    target: fc.constantFrom('VALUE', 'VERSION', 'CREATE', 'MOD'),
    key,
    result: fc.constantFrom('EQUAL', 'GREATER', 'LESS', 'NOT_EQUAL'),
    right: fc.option(fc.nat(5), { nil: undefined }),
    end,
  })
  .map((of) => commands.compare(of.target, of.key, of.result, of.right, of.end));

export const simpleCommand: fc.Arbitrary<mvcc.Command> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(key, value, flag).map((of) => commands.put(...of)) },
  { weight: 2, arbitrary: fc.tuple(key, end, flag).map((of) => commands.del(...of)) },
  fc.array(fc.tuple(key, value), { maxLength: 4 }).map((pairs) => commands.putBatch(pairs)),
  fc.array(key, { maxLength: 3 }).map((keys) => commands.deleteBatch(keys)),
  fc.constant(commands.dummy()),
  {
    weight: 4,
    arbitrary: fc
      .record({
        compare: fc.array(compare, { maxLength: 2 }),
        success: fc.array(operation, { maxLength: 4 }),
        failure: fc.array(operation, { maxLength: 3 }),
      })
      .map((of) => commands.txn(of)),
  },
);

export const query: fc.Arbitrary<RangeQuery> = fc
  .record({
    key,
    end,
    limit: fc.nat(4),
    how: fc.constantFrom({}, { keysOnly: true }, { countOnly: true }),
    filters: fc.oneof(
      fc.constant({}),
      fc.record(
        {
          minModRevision: fc.nat(12),
          maxModRevision: fc.nat(12),
          minCreateRevision: fc.nat(12),
          maxCreateRevision: fc.nat(12),
        },
        { requiredKeys: [] },
      ),
    ),
  })
  .map((of) => commands.query(of.key, of.end, { limit: of.limit, ...of.how, ...of.filters }));

/** Answers without their wire form: strings for bytes, numbers for integers. */
export function plain(of: unknown): unknown {
  if (typeof of === 'bigint') return Number(of);
  if (Buffer.isBuffer(of)) return text(of);
  if (Array.isArray(of)) return of.map(plain);
  if (typeof of !== 'object' || of === null) return of;
  return Object.fromEntries(Object.entries(of).map(([name, member]) => [name, plain(member)]));
}

export function plainPage({ records, count, more }: RangePage): unknown {
  return plain({ records, count, more });
}
