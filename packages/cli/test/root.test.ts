import { expect, test } from '@jest/globals';
import type { Command } from 'commander';
import { program } from '../src/commands/root.js';
import { wholeProgram } from '../src/commands/whole-program.js';
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

/** Returns the lines of a command's help that a person may type, those that end with a backslash with what follows. */
function examplesOf(command: Command): string[] {
  let help = '';
  command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
  const lines = help.replace(/ *\\\n */g, ' ').split('\n');
  return lines.filter((line) => /^ {2}(\S.*[|(] ?)?coxswain [a-z]/.test(line)).map((line) => line.trim());
}

/** Returns the arguments of each `coxswain` of a line of shell. */
function callsIn(line: string): string[][] {
  const bare = line.replace(/ +#.*$/, '').replace(/ [<>] \S+/g, '');
  return bare
    .split(/[|()]/)
    .map((part) => (part.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replaceAll("'", '')))
    .filter(([name]) => name === 'coxswain')
    .map(([, ...args]) => args);
}

test('help of every command ends with examples, and each of them can be parsed', async () => {
  for (const command of withChildren(wholeProgram(await program(undefined)))) {
    if (command.commands.length > 0) continue;
    // The scripts of completion call it.
    const path = `${command.parent!.name() === 'coxswain' ? '' : `${command.parent!.name()} `}${command.name()}`;
    if (path === 'completion tables') continue;
    const examples = examplesOf(command);
    expect([path, examples.join('\n')]).toEqual([path, expect.stringContaining(`coxswain ${path}`)]);
    for (const args of examples.flatMap(callsIn)) {
      const root = wholeProgram(await program(undefined));
      for (const each of withChildren(root)) each.action(() => undefined);
      await expect(root.parseAsync(args, { from: 'user' })).resolves.toBe(root);
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
