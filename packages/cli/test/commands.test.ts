import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Coxswain, operation } from '@coxswain/client';
import { eventually, findFreePorts, TemporaryDirectory } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Command, coxswainFile, NodeCommand, type Outcome, parseReport, run } from './support/command.js';
import { runHere } from './support/command-here.js';
import { selfSigned } from './support/self-signed.js';

const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';

let node: NodeCommand;

beforeAll(async () => {
  node = await NodeCommand.start();
});

afterAll(async () => {
  expect((await node.stop()).exitCode).toBe(0);
});

type Input = { readonly stdin?: string; readonly typed?: string; readonly env?: NodeJS.ProcessEnv };

/**
 * Runs a command against the node, within this process. A busy machine may take longer than the five seconds that
 * people wait: no verdict depends on that.
 */
function command(args: readonly string[], { stdin, typed, env }: Input = {}): Promise<Outcome> {
  return runHere([...args, '--endpoints', node.endpoint], {
    ...(stdin !== undefined && { stdin }),
    ...(typed !== undefined && { typed }),
    env: { COXSWAIN_TIMEOUT: '5m', ...env },
  });
}

/** Returns the output of a command that must succeed and write nothing to stderr. */
async function output(
  args: readonly string[],
  stdin?: string,
  how: (args: readonly string[], input: Input) => Promise<Outcome> = command,
): Promise<string> {
  const outcome = await how(args, stdin === undefined ? {} : { stdin });
  expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
  return outcome.stdout;
}

function expectFailure(outcome: Outcome, exitCode: number, line: string | RegExp): void {
  expect(outcome.exitCode).toBe(exitCode);
  expect(outcome.stderr).toMatch(/^coxswain: [^\n]+\n$/);
  expect(outcome.stderr.slice('coxswain: '.length, -1)).toMatch(line);
}

describe('a process of its own (docs/compatibility.md, "What scripts may rely on")', () => {
  const itsOutput = (args: readonly string[], stdin?: string): Promise<string> =>
    output(args, stdin, (given, input) => node.run(given, input));

  test('reads stdin, writes stdout, and exits 0', async () => {
    expect(await itsOutput(['put', '--stdin'], 'p1\ta\np2\tb\n')).toBe('OK 2\n');
    expect(await output(['put', 'p3'], '\n\0 trailing \n')).toBe('OK\n');
    expect(await itsOutput(['get', 'p', '--prefix'])).toBe('p1\na\np2\nb\np3\n\n\0 trailing \n\n');
    expect(await output(['del', 'p', '--prefix'])).toBe('3\n');
  });

  test('exits 1 when it fails and 2 when it is called wrongly, with one line on stderr', async () => {
    const failed = await node.run(['put', '--stdin'], { stdin: 'a\t1\nnonsense\n' });
    expectFailure(
      failed,
      1,
      'put: line 2: it is not key<TAB>value; 1 line is done; go on with --from-line 2',
    );
    expect(await output(['del', 'a'])).toBe('1\n');
    expectFailure(await run(['get']), 2, "missing required argument 'key': see coxswain --help");
  });
});

describe('data (docs/compatibility.md, "What scripts may rely on")', () => {
  test('put, get and del', async () => {
    expect(await output(['put', 'fruit', 'apple'])).toBe('OK\n');
    expect(await output(['get', 'fruit'])).toBe('fruit\napple\n');
    expect(await output(['put', 'fruit', 'pear', '--prev-kv'])).toBe('OK\nfruit\napple\n');
    expect(await output(['get', '6672756974', '--hex'])).toBe(
      '\\x66\\x72\\x75\\x69\\x74\n\\x70\\x65\\x61\\x72\n',
    );
    expect(await output(['del', 'fruit', '--prev-kv'])).toBe('1\nfruit\npear\n');
    expect(await output(['del', 'fruit'])).toBe('0\n');
  });

  test('get of a missing key prints nothing and exits 0', async () => {
    expect(await output(['get', 'missing'])).toBe('');
  });

  test('ranges: bounds, --prefix, --from-key, --limit, --keys-only, --count-only', async () => {
    await output(['put', '--stdin'], 'r1\ta\nr2\tb\nr3\tc\ns1\td\n');
    expect(await output(['get', 'r', '--prefix', '--keys-only'])).toBe('r1\nr2\nr3\n');
    expect(await output(['get', 'r2', 's', '--keys-only'])).toBe('r2\nr3\n');
    expect(await output(['range', 'r2', 'r3'])).toBe('r2\nb\n');
    expect(await output(['range', 'r3', '--keys-only'])).toBe('r3\ns1\n');
    expect(await output(['get', 'r3', '--from-key', '--keys-only'])).toBe('r3\ns1\n');
    expect(await output(['get', 'r', '--prefix', '--limit', '2', '--keys-only'])).toBe('r1\nr2\n');
    expect(await output(['get', '', '--prefix', '--count-only'])).toBe('4\n');
    expect(await output(['range', '--count-only', '--no-linearizable'])).toBe('4\n');
    for (const flag of ['--prefix', '--from-key'])
      expect(await output(['range', flag, '--count-only'])).toBe('4\n');
    expect(await output(['dump', '--prefix'])).toContain('# end 4');
    expect(await output(['del', 'r', '--prefix'])).toBe('3\n');
    expect(await output(['del', '--stdin'], 's1\nmissing\n')).toBe('1\n');
  });

  test('put --stdin names a bad line, counts what is done, and goes on where it is told to', async () => {
    const lines = 'b1\t1\nb2\t2\nmalformed\nb4\t4\n';
    const ended = await command(['put', '--stdin'], { stdin: lines });
    expectFailure(
      ended,
      1,
      'put: line 3: it is not key<TAB>value; 2 lines are done; go on with --from-line 3',
    );
    expect(await output(['put', '--stdin', '--from-line', '4'], lines)).toBe('OK 1\n');
    const directory = new TemporaryDirectory();
    const bad = join(directory.path, 'bad');
    // The server refuses a key of more than 1024 bytes, and with it the transaction that holds it.
    const long = 'k'.repeat(1025);
    const skipped = await command(['put', '--stdin', '--skip-bad', bad], { stdin: `${lines}${long}\tv\n` });
    expect(skipped).toMatchObject({ exitCode: 0, stdout: 'OK 3\n' });
    expect(skipped.stderr).toContain(`put: line 3: it is not key<TAB>value: it is in ${bad}\n`);
    expect(skipped.stderr).toContain('put: line 5: key length exceeded max allowed value');
    expect(readFileSync(bad, 'utf8')).toBe(`malformed\n${long}\tv\n`);
    directory.remove();
    expect(await output(['del', 'b', '--prefix'])).toBe('3\n');
  });

  test('a line that the server refuses is named, and all that is done counted, with transactions under way', async () => {
    const line = (number: number): string => `refused-${String(number).padStart(4, '0')}`;
    const lines = (input: (key: string) => string, bad: string): string =>
      Array.from({ length: 1_000 }, (_, index) => (index === 299 ? bad : `${input(line(index + 1))}\n`)).join(
        '',
      );
    const count = (): Promise<string> => output(['get', 'refused-', '--prefix', '--count-only']);
    const long = 'k'.repeat(1025);
    for (const bad of [`${long}\tv\n`, `${line(300)}\t${'v'.repeat(2 * 1024 * 1024 + 1)}\n`]) {
      const ended = await command(['put', '--stdin'], { stdin: lines((key) => `${key}\tv`, bad) });
      expectFailure(
        ended,
        1,
        /^put: line 300: (key|value) length exceeded max allowed value.*; \d+ lines are done; go on with --from-line 300$/,
      );
      // Line 300 stands in the third of the transactions of 128 lines: those after it may be done too.
      const done = Number(/; (\d+) lines/.exec(ended.stderr)![1]);
      expect(done).toBeGreaterThanOrEqual(299);
      expect(await count()).toBe(`${done}\n`);
      expect(
        await output(
          ['put', '--stdin', '--from-line', '301'],
          lines((key) => `${key}\tv`, bad),
        ),
      ).toBe('OK 700\n');
      expect(await count()).toBe('999\n');
      const deleted = await command(['del', '--stdin'], { stdin: lines((key) => key, `${long}\n`) });
      expectFailure(
        deleted,
        1,
        /^del: line 300: key length exceeded max allowed value.*; \d+ lines are done; go on with --from-line 300$/,
      );
      const left = 999 - Number(/; (\d+) lines/.exec(deleted.stderr)![1]);
      expect(await count()).toBe(`${left}\n`);
      await output(['del', 'refused-', '--prefix']);
    }
  });

  test('put --stdin that is interrupted counts what is done', async () => {
    // One whole transaction of 128 lines, and three lines that wait for more.
    const stdin = Array.from({ length: 131 }, (_, index) => `i${index + 1}\tv\n`).join('');
    const command = new Command(['put', '--stdin', '--endpoints', node.endpoint], {
      stdin,
      isStdinOpen: true,
    });
    while ((await output(['get', 'i128'])) === '');
    expectFailure(
      await command.stop('SIGINT'),
      1,
      'put: interrupted; 128 lines are done; go on with --from-line 129',
    );
    expect(await output(['del', 'i', '--prefix'])).toBe('128\n');
  });

  const hasTerminals = spawnSync('script', ['--version']).status === 0;
  const returnsCursor = 'put --stdin that is interrupted on a terminal gives the cursor back';
  // `npm test` ends with the titles of what was not tried.
  const title = hasTerminals
    ? returnsCursor
    : `not tried, for want of \`script\` (util-linux), which makes terminals: ${returnsCursor}`;
  test(title, async () => {
    if (!hasTerminals) return;
    // In place of the shell, which the terminal sends the signal too: some shells end by it whatever the command does.
    const line = `exec '${process.execPath}' '${coxswainFile}' put --stdin --endpoints ${node.endpoint}`;
    const terminal = spawn('script', ['-qec', line, '/dev/null'], { stdio: 'pipe' });
    const ended = new Promise((resolve) => terminal.once('close', resolve));
    let shown = '';
    terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
      const hadHidden = shown.includes(HIDE_CURSOR);
      shown += text;
      // A line, and Ctrl-C.
      if (!hadHidden && shown.includes(HIDE_CURSOR)) terminal.stdin.write('terminal\tv\n\x03');
    });
    expect(await ended).toBe(1);
    expect(shown).toMatch(/put: interrupted; \d+ lines are done; go on with --from-line \d+/);
    expect(shown.lastIndexOf(SHOW_CURSOR)).toBeGreaterThan(shown.lastIndexOf(HIDE_CURSOR));
    await output(['del', 'terminal']);
  });

  test('--hex reads too, --print-value-only, filters by revision', async () => {
    await output(['put', '--hex', '00ff', '0a0d']);
    expect(await output(['get', '--hex', '00ff'])).toBe('\\x00\\xff\n\\x0a\\x0d\n');
    expect(await output(['get', '--hex', '\\x00\\xff', '--print-value-only'])).toBe('\\x0a\\x0d\n');
    expect(await output(['get', '--hex', '', '--prefix', '--count-only'])).toBe('1\n');
    expectFailure(await command(['get', '--hex', '0g']), 2, /^--hex: /);
    await output(['put', '--hex', '00ff', '0d']);
    const { kvs } = JSON.parse(await output(['get', '--hex', '00ff', '-o', 'json'])) as {
      kvs: { createRevision: string; modRevision: string }[];
    };
    const { createRevision, modRevision } = kvs[0]!;
    expect(BigInt(modRevision)).toBeGreaterThan(BigInt(createRevision));
    /** Returns the number of keys that a filter leaves, by its bound's distance from the revision of the key. */
    const left = async (flag: string, revision: string, distance: bigint): Promise<string> =>
      output(['get', '', '--prefix', '--count-only', flag, String(BigInt(revision) + distance)]);
    for (const [flag, revision, outside] of [
      ['--min-mod-revision', modRevision, 1n],
      ['--max-mod-revision', modRevision, -1n],
      ['--min-create-revision', createRevision, 1n],
      ['--max-create-revision', createRevision, -1n],
    ] as const) {
      expect(await left(flag, revision, 0n)).toBe('1\n');
      expect(await left(flag, revision, outside)).toBe('0\n');
    }
    // A value from stdin is hexadecimal, too; it may be broken into lines, and be empty.
    expect(await output(['put', '--hex', '00fe'], '0a\n0d\n')).toBe('OK\n');
    expect(await output(['get', '--hex', '00fe', '--print-value-only'])).toBe('\\x0a\\x0d\n');
    expect(await output(['put', '--hex', '00fe'], '')).toBe('OK\n');
    expectFailure(await command(['put', '--hex', '00fe'], { stdin: 'text' }), 2, /^--hex: /);
    expect(await output(['del', '--hex', '00', '--prefix'])).toBe('2\n');
  });

  test('--sort-by and --order as etcdctl has them', async () => {
    await output(['put', '--stdin'], 'o1\tb\no2\ta\no3\tc\n');
    const sorted = ['get', 'o', '--prefix', '--keys-only', '--sort-by', 'value', '--order'];
    expect(await output([...sorted, 'ascend'])).toBe('o2\no1\no3\n');
    expect(await output([...sorted, 'DESCEND', '--limit', '1'])).toBe('o3\n');
    await output(['del', 'o', '--prefix']);
  });

  test('txn --hex reads and shows hexadecimal digits', async () => {
    const text = 'version("00ff") = "0"\n\nput 00ff 0a0d\nget 00ff\n';
    expect(await output(['txn', '--hex'], text)).toBe('SUCCESS\n\nOK\n\n\\x00\\xff\n\\x0a\\x0d\n');
    expect(await output(['del', '--hex', '00ff'])).toBe('1\n');
  });

  test('dump writes any bytes as lines of text, and load stores them', async () => {
    const client = await Coxswain.connect({ endpoints: [node.endpoint] });
    const puts = Array.from({ length: 256 }, (_, byte) =>
      operation.put(Buffer.from([0x64, byte]), Buffer.from(byte % 5 === 0 ? [] : [byte, 0, byte])),
    );
    await client
      .txn('default')
      .do(...puts)
      .commit();
    await client.tables.create('loaded');
    const dump = await output(['dump']);
    expect(dump).toMatch(
      /^# coxswain dump 1\nd\\x00\t\nd\\x01\t\\x01\\x00\\x01\n[\x20-\x7e\t\n]*\n# end 256\n$/,
    );
    expect(await output(['load', '--table', 'loaded'], dump)).toBe('OK 256\n');
    expect(await output(['dump', '--table', 'loaded'])).toBe(dump);
    expect(await output(['dump', '--hex', '6420', '6422'])).toBe(
      '# coxswain dump 1\nd \t \\x00 \nd!\t!\\x00!\n# end 2\n',
    );

    const cut = dump.slice(0, dump.indexOf('dz'));
    const incomplete = await command(['load', '--table', 'loaded'], { stdin: cut });
    expectFailure(
      incomplete,
      1,
      /^load: the input is not a whole dump: it has no end line, so it was cut short; --partial takes it as it is; 122 lines are done; go on with --from-line 124$/,
    );
    expect(await output(['load', '--table', 'loaded', '--partial'], cut)).toBe('OK 122\n');
    const lacking = await command(['load', '--table', 'loaded'], { stdin: dump.replace(/^dz.*\n/m, '') });
    expectFailure(
      lacking,
      1,
      /^load: .*: its end line counts 256 pairs, and 255 are there; --partial takes it as it is; 255 lines are done$/,
    );
    const within = await command(['load', '--table', 'loaded', '--partial'], { stdin: `${cut}dz\tz\\x0` });
    expectFailure(within, 1, /line 124: it does not end with a line feed, so it may be cut short; 122 lines/);

    const bad = dump.replace('d!\t', 'd!\t\\q');
    expectFailure(
      await command(['load', '--table', 'loaded'], { stdin: bad }),
      1,
      /^load: line 35: it holds a backslash .*; 33 lines are done; go on with --from-line 35$/,
    );
    expect(await output(['load', '--table', 'loaded', '--from-line', '36'], bad)).toBe('OK 222\n');
    await client.tables.delete('loaded');
    expect((await client.deleteRange('default', 'd', { prefix: true })).deleted).toBe(256n);
    client.close();
  });

  test('status beside a dead endpoint exits 1 and names it', async () => {
    const [dead] = await findFreePorts(1);
    const outcome = await runHere(['status', '--endpoints', `${node.endpoint},127.0.0.1:${dead}`]);
    expectFailure(outcome, 1, /^1 of 2 endpoints do not answer: .*nothing listens there/);
    expect(outcome.stdout).toContain('nothing listens there');
  });

  test('--revision reads the past', async () => {
    const { header } = JSON.parse(await output(['put', 'past', '1', '-o', 'json'])) as {
      header: { revision: string };
    };
    await output(['put', 'past', '2']);
    expect(await output(['get', 'past', '--revision', header.revision])).toBe('past\n1\n');
    await output(['del', 'past']);
  });

  test('values may come from stdin, and need not be text', async () => {
    await output(['put', 'binary'], '\n\0 trailing \n');
    expect(await output(['get', 'binary'])).toBe('binary\n\n\0 trailing \n\n');
    await output(['del', 'binary']);
  });

  test('-o json is protobuf JSON: bytes in base64, 64-bit integers as strings', async () => {
    await output(['put', 'j1', 'one']);
    await output(['put', 'j2', 'two']);
    const { header, kvs, ...rest } = JSON.parse(await output(['get', 'j', '--prefix', '-o', 'json']));
    expect(header).toEqual({
      shardId: '10001',
      replicaId: '1',
      revision: expect.stringMatching(/^\d+$/),
      raftTerm: '1',
      raftLeaderId: '1',
    });
    expect(kvs).toEqual([
      {
        key: Buffer.from('j1').toString('base64'),
        value: Buffer.from('one').toString('base64'),
        createRevision: expect.stringMatching(/^\d+$/),
        modRevision: expect.stringMatching(/^\d+$/),
        version: '1',
      },
      expect.objectContaining({ key: Buffer.from('j2').toString('base64') }),
    ]);
    expect(rest).toEqual({ count: '2' });
    expect(JSON.parse(await output(['get', 'missing', '-o', 'json']))).toEqual({ header: expect.anything() });
    await output(['del', 'j', '--prefix']);
  });

  test('-o table', async () => {
    await output(['put', 'key', 'value']);
    expect(await output(['get', 'key', '-o', 'table'])).toMatch(
      /│ KEY +│ VALUE +│ CREATE REVISION +│ MOD REVISION +│ VERSION +│\n.*\n│ key +│ value +│ \d+ +│ \d+ +│ 1 +│/,
    );
    await output(['del', 'key']);
  });

  test('txn reads etcdctl’s text form', async () => {
    const text =
      'version("flip") = "0"\n\nput flip "on \\"air\\""\nget flip\n\ndel flip\nget flip --count-only\n';
    expect(await output(['txn'], text)).toBe('SUCCESS\n\nOK\n\nflip\non "air"\n');
    expect(await output(['txn'], text)).toBe('FAILURE\n\n1\n\n');
    const json = JSON.parse(await output(['txn', '-o', 'json'], text)) as {
      succeeded: boolean;
      responses: object[];
    };
    expect(json.succeeded).toBe(true);
    expect(json.responses).toEqual([
      { responsePut: {} },
      { responseRange: expect.objectContaining({ count: '1' }) },
    ]);
    await output(['del', 'flip']);
  });

  test('many lines from stdin: the last line of a key wins', async () => {
    const lines = Array.from({ length: 3_000 }, (_, index) => `bulk-${index % 1_000}\t${index}\n`).join('');
    expect(await output(['put', '--stdin'], lines)).toBe('OK 3000\n');
    expect(await output(['get', 'bulk-', '--prefix', '--count-only'])).toBe('1000\n');
    expect(await output(['get', 'bulk-7'])).toBe('bulk-7\n2007\n');
    expect(await output(['del', 'bulk-', '--prefix'])).toBe('1000\n');
  });

  test('a line that is no pair is named', async () => {
    const outcome = await command(['put', '--stdin'], { stdin: 'a\t1\nnonsense\n' });
    expectFailure(
      outcome,
      1,
      'put: line 2: it is not key<TAB>value; 1 line is done; go on with --from-line 2',
    );
    expect(await output(['del', 'a'])).toBe('1\n');
  });
});

describe('the cluster', () => {
  test('tables create, list and delete', async () => {
    const id = (await output(['tables', 'create', 'extra'])).trim();
    expect(await output(['tables', 'list'])).toBe('default\nextra\n');
    expect(JSON.parse(await output(['tables', 'list', '-o', 'json']))).toEqual({
      tables: [
        { name: 'default', id: '10001' },
        { name: 'extra', id },
      ],
    });
    expect(await output(['put', 'k', 'v', '--table', 'extra'])).toBe('OK\n');
    const refused = await command(['tables', 'delete', 'extra']);
    expect(refused).toMatchObject({
      exitCode: 2,
      stderr:
        "coxswain: nothing was changed: this removes the table, which loses table 'extra' (1 key, revision 2): give --yes where nobody can be asked\n",
    });
    expect(await output(['get', 'k', '--table', 'extra'])).toBe('k\nv\n');
    // On a terminal it asks. Nothing but yes is a yes, least of all Ctrl-D.
    const question = "This removes the table, which loses table 'extra' (1 key, revision 2). Go on? [y/N] ";
    for (const typed of ['n\n', '\n', 'yesterday\n', '']) {
      expect(await command(['tables', 'delete', 'extra'], { typed })).toEqual({
        exitCode: 1,
        stdout: '',
        stderr: `${question}coxswain: nothing was changed\n`,
      });
    }
    expect(await output(['get', 'k', '--table', 'extra'])).toBe('k\nv\n');
    expect(await command(['tables', 'delete', 'extra'], { typed: 'y\n' })).toEqual({
      exitCode: 0,
      stdout: 'OK\n',
      stderr: question,
    });
    await output(['tables', 'create', 'extra']);
    expect(await output(['tables', 'delete', 'extra', '--yes'])).toBe('OK\n');
    expectFailure(
      await command(['get', 'k', '--table', 'extra']),
      1,
      /^table not found \(.*\): see coxswain tables list$/,
    );
  });

  test('members list, status and health', async () => {
    expect(await output(['members', 'list'])).toMatch(
      /^1, node-1, 127\.0\.0\.1:\d+, http:\/\/127\.0\.0\.1:\d+\n$/,
    );
    expect(await output(['status'])).toMatch(
      /^1 of 1 endpoint answers, 1 table: no problems\n127\.0\.0\.1:\d+, 1, 0\.1\.0, default, 1, 1, \d+, /,
    );
    expect(await output(['status', '--table', 'default', '-o', 'table'])).toMatch(/│ ENDPOINT +│ ID/);
    expect(await output(['status', '--problems'])).toBe('1 of 1 endpoint answers, 1 table: no problems\n');
    expect(await output(['status', '--problems', '-o', 'json'])).toBe('');
    expect(await output(['health'])).toBe(`${node.endpoint}, healthy\n`);
    const down = await runHere(['health', '--endpoints', `${node.endpoint},127.0.0.1:1`]);
    expect(down.stdout).toMatch(/^127.*, healthy\n127\.0\.0\.1:1, unhealthy, /);
    expectFailure(down, 1, 'not healthy: 127.0.0.1:1: see the log of that node');
  });

  test('commands end after --timeout at a node that hangs, with TLS too, where the handshake is never answered', async () => {
    node.signal('SIGSTOP');
    try {
      const hung =
        /takes the connection and (says nothing|does not answer the TLS handshake): the process hangs/;
      const flags = ['--timeout', '1s', '--endpoints', `https://${node.endpoint}`];
      // Processes of their own: the handshake is still under way when they end.
      const commands = [['get', 'k'], ['health'], ['status']];
      const ended = await Promise.all(commands.map((command) => run([...command, ...flags])));
      const [get, health, status] = ended as [Outcome, Outcome, Outcome];
      expectFailure(get, 1, hung);
      expect(health.stdout).toMatch(hung);
      expectFailure(health, 1, /^not healthy: https:/);
      expectFailure(status, 1, hung);
      expectFailure(await runHere(['get', 'k', '--timeout', '1s', '--endpoints', node.endpoint]), 1, hung);
    } finally {
      node.signal('SIGCONT');
    }
  });

  test('bench tells rate, latency percentiles and errors', async () => {
    for (const workload of ['put', 'range', 'txn', 'mixed']) {
      const result = parseReport(
        await output(['bench', workload, '--seconds', '1', '--clients', '1', '--keys', '10', '-o', 'json']),
      ) as { workload: string; requests: number; latencyMs: { p50: number; p99: number }; errors: object };
      expect(result).toMatchObject({ workload, errors: {} });
      expect(result.requests).toBeGreaterThan(0);
      expect(result.latencyMs.p99).toBeGreaterThanOrEqual(result.latencyMs.p50);
    }
    await output(['del', 'bench-', '--prefix']);
  });

  test('version', async () => {
    expect(await run(['version'])).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^coxswain 0\.1\.0 /),
    });
  });
});

describe('promote', () => {
  test('whose node dies says to run it again, which is safe', async () => {
    const dying = createServer().on('stream', ({ session }) => session!.destroy());
    await new Promise<void>((resolve) => dying.listen(0, '127.0.0.1', resolve));
    const { port } = dying.address() as AddressInfo;
    const outcome = await runHere(['promote', '--yes', '--endpoints', `127.0.0.1:${port}`]);
    expectFailure(
      outcome,
      1,
      /^[^\n]+ \(127\.0\.0\.1:\d+\): what has begun goes on by itself; run promote again, which is safe: /,
    );
    await new Promise((resolve) => dying.close(resolve));
  });

  test('of what is a leader cluster already says so', async () => {
    const outcome = await command(['promote', '--yes']);
    expectFailure(outcome, 1, /^this is a leader cluster already \([^)]*\)$/);
  });
});

test('a node whose services are switched off is told from one that may not do it', async () => {
  const silent = await NodeCommand.start(['--maintenance.enabled=false', '--tables.enabled=false']);
  const at = ['--endpoints', silent.endpoint, '--timeout', '5m'];
  try {
    const place = new TemporaryDirectory();
    // A node is ready a moment before the first start's table is made.
    await eventually(
      'the table is there',
      async () => (await runHere(['put', 'k', 'v', ...at])).exitCode === 0,
    );
    for (const args of [
      ['backup', '--dir', join(place.path, 'b'), '--tables', 'default'],
      ['promote', '--yes'],
      ['tables', 'delete', 'default', '--yes'],
    ]) {
      const outcome = await runHere([...args, ...at]);
      expect(outcome.exitCode).toBe(1);
      expect(outcome.stderr).toContain('start it without --maintenance.enabled=false');
      expect(outcome.stderr).not.toContain('only leader clusters');
    }
    place.remove();
  } finally {
    await silent.stop();
  }
});

describe('usage', () => {
  test.each([
    [['get'], "missing required argument 'key': see coxswain --help"],
    [['get', 'k', '--colour'], "unknown option '--colour': see coxswain --help"],
    [['frobnicate'], "unknown command 'frobnicate': see coxswain --help"],
    [['get', 'a', 'b', '--prefix'], 'give one of a range end, --prefix and --from-key'],
    [['get', 'a', '--keys-only', '--count-only'], '--keys-only and --count-only cannot be combined'],
    [
      ['get', 'a', '--limit', 'few'],
      /^option '--limit <number>' argument 'few' is invalid\. it must be a whole number\./,
    ],
    ...['soon', '0', '0s'].map((text): [string[], string] => [
      ['get', 'a', '--timeout', text],
      `--timeout: must be a duration above 0 such as 500ms, 5s or 1m, not ${text}`,
    ]),
    [['get', 'a', '-o', 'xml'], /argument 'xml' is invalid\. Allowed choices are simple, table, json\./],
    [['get', 'a', '--order', 'up'], /argument 'up' is invalid\. Allowed choices are ASCEND, DESCEND\./],
    [['dump', '-o', 'json'], 'dump: has one format, without --output'],
    [['put'], 'put: give a key and a value, or --stdin'],
    [['get', 'a', '--cert', 'x'], '--cert and --key must be given together'],
    [['playground', '--nodes', '10'], '--nodes: must be from 1 to 9, not 10'],
    [
      ['playground', '--port-offset', '60000'],
      '--port-offset: 60000 leads past port 65535: give a smaller one',
    ],
    [['playground', '--tables', ' , '], '--tables: name at least one table'],
  ])('%j exits 2 with one line', async (args, line) => {
    expectFailure(await runHere(args), 2, line);
  });

  test('a cluster that does not answer is one line that says what to do', async () => {
    const outcome = await runHere(['get', 'k', '--endpoints', '127.0.0.1:1']);
    expectFailure(outcome, 1, 'no node can be reached: 127.0.0.1:1: nothing listens there: start the node');
  });

  test('flags come from the environment and from a file, and a wrong key of the file is named', async () => {
    const directory = new TemporaryDirectory();
    const file = join(directory.path, 'client.yaml');
    writeFileSync(file, `endpoints: [${node.endpoint}]\ntimeout: 3s\n`);
    expect(await runHere(['tables', 'list', '--config', file])).toMatchObject({
      exitCode: 0,
      stdout: 'default\n',
    });
    const env = { COXSWAIN_ENDPOINTS: node.endpoint };
    expect(await runHere(['tables', 'list'], { env })).toMatchObject({ exitCode: 0, stdout: 'default\n' });
    expectFailure(
      await runHere(['tables', 'list'], { env: { COXSWAIN_ENDPIONTS: node.endpoint } }),
      2,
      /^COXSWAIN_ENDPIONTS: no flag has this name in the environment: use COXSWAIN_ENDPOINTS, COXSWAIN_CACERT, /,
    );
    for (const flag of ['--cacert', '--config']) {
      const outcome = await runHere(['tables', 'list', flag, join(directory.path, 'none')]);
      expectFailure(outcome, 1, /none: there is no such file$/);
    }
    // Files that hold something else, or do not belong together.
    const [one, two] = selfSigned;
    const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(directory.path, name)) as [string, string];
    writeFileSync(cert, one.cert);
    writeFileSync(key, two.key);
    const damaged = join(directory.path, 'damaged.pem');
    writeFileSync(damaged, one.cert.replace('MIIB', 'MIIC'));
    for (const authority of [key, damaged]) {
      expectFailure(
        await runHere(['tables', 'list', '--cacert', authority]),
        1,
        `${authority}: it holds no certificate in PEM`,
      );
    }
    expectFailure(
      await runHere(['tables', 'list', '--cert', cert, '--key', key]),
      1,
      new RegExp(`^${cert} and ${key} are no certificate and its key: .*key values mismatch$`),
    );
    writeFileSync(file, 'endpoint: x\n');
    expectFailure(
      await runHere(['tables', 'list', '--config', file]),
      1,
      /unknown key "endpoint": use endpoints, /,
    );
    directory.remove();
  });
});
