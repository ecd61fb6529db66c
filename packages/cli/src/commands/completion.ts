import { Command } from 'commander';
import { withExamples } from '../command-line.js';

/** A shell, and how to make its completion permanent. */
interface Shell {
  readonly name: 'bash' | 'zsh' | 'fish';
  readonly examples: readonly string[];
}

const shells: readonly Shell[] = [
  {
    name: 'bash',
    examples: [
      'coxswain completion bash > ~/.local/share/bash-completion/completions/coxswain',
      'source <(coxswain completion bash)   # in this shell alone',
    ],
  },
  {
    name: 'zsh',
    examples: [
      'coxswain completion zsh > ~/.zfunc/_coxswain   # a folder of fpath, before compinit runs',
      'source <(coxswain completion zsh)              # in this shell alone, after compinit',
    ],
  },
  {
    name: 'fish',
    examples: [
      'coxswain completion fish > ~/.config/fish/completions/coxswain.fish',
      'coxswain completion fish | source   # in this shell alone',
    ],
  },
];

/**
 * Makes the command `completion`, which prints what a shell reads to complete commands: those of `program`, which makes the
 * root command with all of them.
 */
export function completionCommand(program: () => Promise<Command>): Command {
  const command = new Command('completion').description(
    'Print what a shell needs to complete commands, options and names of tables.',
  );
  command.addHelpText('after', COMPLETION_HELP);
  for (const { name, examples } of shells) {
    const shell = withExamples(
      new Command(name).description(`Print the completion for ${name}.`),
      ...examples,
    );
    command.addCommand(
      shell.action(async () => {
        const { completionScript } = await import('../completion/completion-script.js');
        process.stdout.write(completionScript(name, await program()));
      }),
    );
  }
  // The scripts call this one.
  const tables = new Command('tables').argument('[words...]').action(async (words: readonly string[]) => {
    const { printTableNames } = await import('../completion/table-names.js');
    await printTableNames(words);
  });
  return command.addCommand(tables.description('Print the names of tables.'), { hidden: true });
}

const COMPLETION_HELP = `
Print it into the file that the shell reads when it completes coxswain for the
first time, and print it anew after an upgrade. Names of tables are those of the
cluster that the line names (--endpoints, --config and so on), or the
environment; when it does not answer within a second there are none.`;
