import { Command } from 'commander';
import type { RestoreFlags } from '../restore.js';
import { transferFlags, withTransferFlags } from '../transfer-flags.js';

/** `restore`. What it takes is loaded when it is run. */
export function restoreCommand(): Command {
  const command = withTransferFlags(
    new Command('restore').description('replace tables of a leader cluster by those of a backup'),
  )
    .option('--into <name>', 'restore the only table as another one')
    .option('--incremental <directory...>', 'incremental backups that follow the one in --dir, in order', []);
  command.addHelpText('after', restoreHelp);
  return command.action(async () => {
    const { restore } = await import('../restore.js');
    await restore(transferFlags<RestoreFlags>(command));
  });
}

const restoreHelp = `
Every file is checked before anything is sent. A table that exists is replaced in one step when all of it has arrived,
and one that does not exist is made then; until then the old data serves, and nothing is left of a restore that fails.
What was written to a table since the backup is lost by that: --into restores it beside the old one. Revisions of a
restored table are above all that it ever had, and every key has version 1.

  coxswain restore --dir /backups/monday
  coxswain restore --dir /backups/monday --tables users --into users-of-monday`;
