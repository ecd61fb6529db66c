import { regatta } from '@coxswain/protocol';
import { describe, expect, test } from '@jest/globals';
import { StatusReport } from '../src/status-report.js';

const noLeader = (name: string): string => `table '${name}': no leader: 1 of 3 members answer`;

/** Makes the answer of a node, with so many sound tables beside those that have problems. */
function answer(
  endpoint: string,
  options: {
    tables: number;
    broken?: Record<string, string[]>;
    leaderless?: Record<string, string>;
    ofNode?: string[];
    role?: string;
  },
) {
  const tables = new Map<string, regatta.TableStatus>();
  for (let i = 0; i < options.tables; i++) {
    tables.set(`t${i}`, regatta.TableStatus.fromPartial({ leader: '1', raftTerm: 2n }));
  }
  const broken = Object.entries(options.broken ?? {});
  for (const [name, errors] of broken) {
    const isLed = !errors.some((text) => text.includes('no leader'));
    const leaderless = isLed ? '' : (options.leaderless?.[name] ?? 'noLeader');
    tables.set(name, regatta.TableStatus.fromPartial({ leader: isLed ? '1' : '0', errors, leaderless }));
  }
  const errors = [...(options.ofNode ?? []), ...broken.flatMap(([, texts]) => texts)];
  const response = regatta.StatusResponse.fromPartial({
    id: '1',
    version: 'v',
    role: options.role ?? 'leader',
    tables,
    errors,
  });
  return { endpoint, response };
}

describe('the report of coxswain status', () => {
  const answers = [
    answer('a', { tables: 50, broken: { x: [noLeader('x')], y: ["table 'y': damaged"] } }),
    answer('b', { tables: 50, ofNode: ['the disk is full'] }),
    { endpoint: 'c', error: 'nothing listens there' },
  ];

  test('begins with one line about the whole', () => {
    expect(new StatusReport(answers, { problems: false }).summary).toBe(
      '2 of 3 endpoints answer, 52 tables: 1 endpoint does not answer, 1 table has no leader, 2 tables have problems, 1 node has problems',
    );
    expect(new StatusReport([answer('a', { tables: 1 })], { problems: false }).summary).toBe(
      '1 of 1 endpoint answers, 1 table: no problems',
    );
  });

  test('says a problem of a table with that table alone, and a problem of the node in a row of its own', () => {
    const { rows } = new StatusReport(answers, { problems: false }).tables;
    expect(rows).toHaveLength(52 + 51 + 1);
    const withErrors = rows.filter((row) => row.at(-1) !== '').map((row) => [row[0], row[3], row[8]]);
    expect(withErrors).toEqual([
      ['a', 'x', noLeader('x')],
      ['a', 'y', "table 'y': damaged"],
      ['b', '', 'the disk is full'],
      ['c', '', 'nothing listens there'],
    ]);
  });

  test('holds with --problems only what is wrong', () => {
    const report = new StatusReport(answers, { problems: true });
    expect(report.tables.rows.map((row) => `${row[0]} ${row[3]}`)).toEqual(['a x', 'a y', 'b ', 'c ']);
    expect(report.summary).toContain('52 tables');
    const sound = new StatusReport([answer('a', { tables: 3 })], { problems: true });
    expect(sound.answers).toEqual([]);
    expect(sound.failure).toBeUndefined();
  });

  test('holds with --table one table, and what is wrong with the nodes', () => {
    const report = new StatusReport(answers, { table: 'y', problems: false });
    expect(report.tables.rows.map((row) => [row[0], row[3], row[8]])).toEqual([
      ['a', 'y', "table 'y': damaged"],
      ['b', '', 'the disk is full'],
      ['c', '', 'nothing listens there'],
    ]);
    expect(report.answers[0]!.response!.errors).toEqual(["table 'y': damaged"]);
    expect(report.failure).toBe('1 of 3 endpoints do not answer: c: nothing listens there');
  });

  test('says of a table that has no leader for another reason that its row has it', () => {
    const broken = { x: ["table 'x': no leader: the group has not been formed: call Bootstrap"] };
    const failureOf = (more: Record<string, string[]>) =>
      new StatusReport(
        [answer('a', { tables: 1, broken: { ...broken, ...more }, leaderless: { x: 'leaderless' } })],
        { problems: false },
      ).failure;
    expect(failureOf({})).toBe("1 table has no leader: 'x': the rows say what to do");
    expect(failureOf({ y: [noLeader('y')] })).toMatch(/^2 tables .*: start the members that do not answer$/);
  });

  test('fails when a table has no leader, also one of a stock server, which does not say so', () => {
    const broken = Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`x${i}`, [noLeader(`x${i}`)]]));
    expect(new StatusReport([answer('a', { tables: 1, broken })], { problems: false }).failure).toBe(
      "7 tables have no leader: 'x0', 'x1', 'x2', 'x3', 'x4' and 2 more: start the members that do not answer",
    );
    const stock = answer('a', { tables: 0, role: '' });
    stock.response.tables.set('t', regatta.TableStatus.fromPartial({ leader: '0' }));
    const report = new StatusReport([stock], { problems: true });
    expect(report.tables.rows).toEqual([['a', '1', 'v', 't', 'none', '0', '0', '0 B', 'no leader']]);
    expect(report.failure).toMatch(/^1 table has no leader: 't'/);
    expect(report.following.rows).toEqual([]);
  });

  test('fails when a node knows no cluster, and not for a stock server, which has no role', () => {
    const unformed = answer('a', { tables: 0, ofNode: ['the cluster has not formed'], role: '' });
    const stock = answer('b', { tables: 0, role: '' });
    unformed.response.info = 'coxswain 0.1.0';
    const report = new StatusReport([unformed, stock], { problems: false });
    expect(report.failure).toBe('1 node has no cluster: a: start the members that do not answer');
    expect(report.tables.rows[0]!.at(-1)).toBe('the cluster has not formed');
    expect(new StatusReport([stock], { problems: false }).failure).toBeUndefined();
  });

  test('says in each row of a follower cluster what is wrong with that table alone', () => {
    const follower = answer('a', {
      tables: 2,
      role: 'follower',
      broken: { x: ["replication of table 'x': stopped"] },
    });
    const status = follower.response.tables.get('x')!;
    status.replication = regatta.TableReplication.fromPartial({ state: 'stopped', error: 'stopped' });
    const report = new StatusReport([follower], { problems: false });
    expect(report.following.rows.map((row) => [row[2], row[4], row[8]])).toEqual([
      ['t0', '', ''],
      ['t1', '', ''],
      ['x', 'stopped', 'stopped'],
    ]);
    expect(new StatusReport([follower], { problems: true }).following.rows).toHaveLength(1);
  });
});
