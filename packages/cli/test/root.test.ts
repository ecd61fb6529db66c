import { expect, test } from '@jest/globals';
import type { Command } from 'commander';
import { program } from '../src/commands/root.js';
import { runHere } from './support/command-here.js';

test('every command is there when it is named, beside few others, and all are there for help', async () => {
  const all = (await program('--help')).commands.map((command) => command.name());
  expect(all).toEqual((await program(undefined)).commands.map((command) => command.name()));
  for (const name of all) {
    const { commands } = await program(name);
    expect(commands.map((command) => command.name())).toContain(name);
    expect(commands.length).toBeLessThan(6);
  }
});

/** Yields a command and all commands under it. */
function* withChildren(command: Command): Generator<Command> {
  yield command;
  for (const child of command.commands) yield* withChildren(child);
}

test('every command and every option is described by whole sentences', async () => {
  for (const command of withChildren(await program('--help'))) {
    expect(command.description()).toMatch(/^[A-Z].*[.]( [(][^()]+[)][.]?)?$/);
    for (const { flags, description, hidden } of command.options) {
      if (!hidden)
        expect([flags, description]).toEqual([flags, expect.stringMatching(/^[A-Z].*[.]( [(].+[)])?$/)]);
    }
  }
});

test('help of a node shows defaults and limits in the form in which they are given', async () => {
  const { stdout } = await runHere(['leader', '--help']);
  const help = stdout.replace(/\s+/g, ' ');
  for (const text of [
    '--raft.wal-segment-size <size> Size of one file of the write-ahead log. (default: 16MiB; at least 16MiB)',
    'after which a node stands for election. It must exceed raft.heartbeat-rtt, best ten times. (default: 20 times raft.rtt; at least 2)',
    'that the API listener holds at a time. (default: 0, no limit)',
    '(default: 32MiB; 0: no pages)',
    '(default: this node alone; such as 1=host-a:5012,2=host-b:5012)',
    '--log-level <debug|info|warn|error>',
    '--api.client-cert-auth [true|false]',
    '(default: raft.node-host-dir, else ./coxswain-data)',
  ]) {
    expect(help).toContain(text);
  }
  expect(help).not.toContain('replication.leader-address');
  expect(help).not.toContain('raft.logdb');
});

test('help of the nodes of a follower cluster shows that they have no replication listener by default', async () => {
  const { stdout } = await runHere(['follower', '--help']);
  expect(stdout.replace(/\s+/g, ' ')).toContain('opens one when the cluster is promoted. (default: none)');
});
