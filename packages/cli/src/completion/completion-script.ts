import type { Command } from 'commander';
import { wholeProgram } from '../commands/whole-program.js';
import { bashCompletion } from './bash.js';
import { completedCommand } from './completed-command.js';
import { fishCompletion } from './fish.js';
import { zshCompletion } from './zsh.js';

const generators = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

/** Returns what a shell reads to complete every command, from the root command that also parses them. */
export function completionScript(shell: keyof typeof generators, program: Command): string {
  return generators[shell](completedCommand(wholeProgram(program)));
}
