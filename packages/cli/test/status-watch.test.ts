import { spawn, spawnSync } from 'node:child_process';
import { regatta } from '@coxswain/protocol';
import { until } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { StatusView } from '../src/status-view.js';
import { Command, coxswainFile, NodeCommand } from './support/command.js';

const ENTER_SCREEN = '\x1b[?1049h';
const LEAVE_SCREEN = '\x1b[?1049l';
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';

/** Makes the answer of a node that leads some tables; each table has applied so many entries. */
function answer(id: string, tables: Readonly<Record<string, { applied: bigint; errors?: string[] }>>) {
  const states = Object.entries(tables).map(
    ([name, { applied, errors = [] }]): [string, regatta.TableStatus] => [
      name,
      regatta.TableStatus.fromPartial({ leader: '1', raftTerm: 2n, raftAppliedIndex: applied, errors }),
    ],
  );
  const errors = states.flatMap(([, table]) => table.errors);
  return {
    endpoint: `node-${id}`,
    response: regatta.StatusResponse.fromPartial({
      id,
      version: 'v',
      role: 'leader',
      tables: new Map(states),
      errors,
    }),
  };
}

describe('the screen of status --watch', () => {
  const at = (nowMs: number, height = 100) => ({ nowMs, height });

  test('shows nodes, and a line for each table of all nodes: how far the last one is behind, and how fast it moves', () => {
    const view = new StatusView({ problems: false });
    const silent = { endpoint: 'node-3', error: 'no answer for 2 s' };
    view.lines([answer('1', { orders: { applied: 100n } })], at(0));
    const answers = [
      answer('1', { orders: { applied: 350n }, users: { applied: 7n } }),
      answer('2', { orders: { applied: 330n }, users: { applied: 7n, errors: ['damaged'] } }),
      silent,
    ];
    expect(view.lines(answers, at(2_000))).toEqual([
      '2 of 3 endpoints answer, 2 tables: 1 endpoint does not answer, 1 table has problems',
      '',
      'ENDPOINT  ID  VERSION  ROLE    TABLES  LEADS  SIZE  PROBLEMS',
      'node-1     1  v        leader       2      2   0 B',
      'node-2     2  v        leader       2      0   0 B',
      'node-3                                              no answer for 2 s',
      '',
      'TABLE   LEADER  TERM  APPLIED  BEHIND  PER SECOND  SIZE  PROBLEMS',
      'users        1     2        7       0               0 B  damaged',
      'orders       1     2      350      20         125   0 B',
    ]);
    // Between two looks the rate stays.
    expect(view.lines(answers, at(2_500)).at(-1)).toContain(' 125 ');
  });

  test('takes as many lines as there are, and says how many it leaves out', () => {
    const tables = Object.fromEntries(
      Array.from({ length: 1_000 }, (_, number) => [`t${1_000 + number}`, { applied: 1n }]),
    );
    const lines = new StatusView({ problems: false }).lines([answer('1', tables)], at(0, 20));
    expect(lines).toHaveLength(20);
    expect(lines.at(-1)).toBe(
      '… and 987 more lines: a higher terminal, --table or --problems shows the others',
    );
    const one = new StatusView({ table: 't1500', problems: false }).lines([answer('1', tables)], at(0, 20));
    expect(one).toHaveLength(7);
  });

  test('is moved by no name', () => {
    const lines = new StatusView({ problems: false }).lines(
      [answer('1', { 'a\x1b[2Jb\n': { applied: 1n } })],
      at(0),
    );
    expect(lines.at(-1)).toMatch(/^a\u{fffd}\[2Jb\u{fffd} /u);
  });
});

describe('status --watch', () => {
  let node: NodeCommand;
  beforeAll(async () => {
    node = await NodeCommand.start();
  });
  afterAll(async () => {
    await node.stop();
  });

  const hasTerminals = spawnSync('script', ['--version']).status === 0;
  const draws =
    'on a terminal draws in place, names a node that hangs, and gives the terminal back at Ctrl-C';
  const title = hasTerminals
    ? draws
    : `not tried, for want of \`script\` (util-linux), which makes terminals: ${draws}`;
  test(title, async () => {
    if (!hasTerminals) return;
    const command = `exec '${process.execPath}' '${coxswainFile}' status --watch --endpoints ${node.endpoint}`;
    const line = `stty rows 30 cols 120; ${command}`;
    const terminal = spawn('script', ['-qec', line, '/dev/null'], { stdio: 'pipe' });
    const ended = new Promise((resolve) => terminal.once('close', resolve));
    let shown = '';
    terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
      shown += text;
    });
    const lastDrawn = (): string => shown.slice(shown.lastIndexOf('\x1b[H'));
    try {
      await until('the node is shown', () => lastDrawn().includes('1 of 1 endpoint answers'));
      expect(lastDrawn()).toMatch(/\nTABLE +LEADER.*\r+\ndefault +1 /);
      node.signal('SIGSTOP');
      await until('its silence is shown', () => /no answer for \d s/.test(lastDrawn()));
      node.signal('SIGCONT');
      await until('it is back', () => lastDrawn().includes('1 of 1 endpoint answers'));
    } finally {
      node.signal('SIGCONT');
    }
    terminal.stdin.write('\x03');
    expect(await ended).toBe(0);
    // Each drawing goes over the one before: nothing is ever cleared first, which would flicker.
    expect(shown).not.toContain('\x1b[2J');
    const parts = shown.split('\x1b[?2026h').slice(1);
    for (const part of parts) expect(part.startsWith('\x1b[H')).toBe(true);
    for (const [taken, given] of [
      [ENTER_SCREEN, LEAVE_SCREEN],
      [HIDE_CURSOR, SHOW_CURSOR],
    ] as const) {
      expect(shown.split(taken)).toHaveLength(2);
      expect(shown.split(given)).toHaveLength(2);
      expect(shown.lastIndexOf(given)).toBeGreaterThan(shown.lastIndexOf('\x1b[H'));
    }
  });

  test('elsewhere prints a line for each change, or what is asked for as JSON, and ends at a signal', async () => {
    const flags = ['--watch', '--endpoints', node.endpoint];
    const lines = new Command(['status', ...flags]);
    const json = new Command(['status', ...flags, '-o', 'json']);
    await lines.prints("table 'default': leader 1\n");
    node.signal('SIGSTOP');
    try {
      await lines.prints(`${node.endpoint}: no answer\n`);
    } finally {
      node.signal('SIGCONT');
    }
    await json.prints('}\n');
    for (const command of [lines, json]) {
      expect(await command.stop('SIGINT')).toMatchObject({ exitCode: 0, stderr: '' });
    }
    expect(lines.stdout).not.toContain('\x1b');
    const first = JSON.parse(json.stdout.split('\n')[0]!) as object;
    expect(first).toMatchObject({
      endpoint: node.endpoint,
      time: expect.stringMatching(/Z$/),
      response: { id: '1' },
    });
  });
});
