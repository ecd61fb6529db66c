import { Command } from 'commander';
import { withExamples } from '../command-line.js';
import { type TransferFlags, transferFlags, withTransferFlags } from '../transfer-flags.js';

/** Makes the command `backup`, which loads its modules when it runs. */
export function backupCommand(): Command {
  const command = withTransferFlags(
    new Command('backup').description('Copy tables of a leader cluster into a directory.'),
  );
  command.addHelpText('after', BACKUP_HELP);
  withExamples(
    command,
    'coxswain backup --dir /backups/monday',
    'coxswain backup --dir /backups/monday --tables users,orders --rate 20MiB',
  );
  return command.action(async () => {
    const { backUp } = await import('../backup.js');
    await backUp(transferFlags<TransferFlags>(command));
  });
}

const BACKUP_HELP = `
Each table is copied as it is at one moment, while it is written to. The
directory then holds a file <table>.bak for each (table-<hash>.bak where some
disk would not take that name) and manifest.json, which names them and comes
last: a directory without it is not a whole backup. If a backup breaks off, run
the same command again, and it goes on where it ended. A table that has lost the
history needed for that (storage.history-retention) is copied anew.`;
