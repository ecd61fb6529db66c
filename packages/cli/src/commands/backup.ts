import { Command } from 'commander';
import { type TransferFlags, transferFlags, withTransferFlags } from '../transfer-flags.js';

/** `backup`. What it takes is loaded when it is run. */
export function backupCommand(): Command {
  const command = withTransferFlags(
    new Command('backup').description('copy tables of a leader cluster into a directory'),
  );
  command.addHelpText('after', backupHelp);
  return command.action(async () => {
    const { backUp } = await import('../backup.js');
    await backUp(transferFlags<TransferFlags>(command));
  });
}

const backupHelp = `
Each table is copied as it is at one moment, while it is written to. The directory then holds <table>.bak per table (or
table-<hash>.bak, where some disk would not take that name; manifest.json says which) and manifest.json, which comes last:
a directory without it is no whole backup. A backup that breaks off goes on where it ended when the same command is run
again, as long as the table keeps its history (storage.history-retention); a table of which that is gone is copied anew.

  coxswain backup --dir /backups/monday
  coxswain backup --dir /backups/monday --tables users,orders --rate 20MiB`;
