import { expect, test } from '@jest/globals';
import { program } from '../src/commands/root.js';

test('every command is there when it is named, beside few others, and all are there for help', async () => {
  const all = (await program('--help')).commands.map((command) => command.name());
  expect(all).toEqual((await program(undefined)).commands.map((command) => command.name()));
  for (const name of all) {
    const { commands } = await program(name);
    expect(commands.map((command) => command.name())).toContain(name);
    expect(commands.length).toBeLessThan(6);
  }
});
