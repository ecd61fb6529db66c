import { Command } from 'commander';
import { askEach, print, printEach } from '../ask-each.js';
import { withExamples } from '../command-line.js';
import { connectionFlags, withConnectionFlags } from '../connection-flags.js';
import { failure } from '../exit.js';
import { StatusReport } from '../status-report.js';

interface StatusFlags {
  readonly table: string | undefined;
  readonly problems: boolean;
  readonly watch: boolean;
}

/** Makes the command `status`: a line about the whole, then each endpoint, table by table. */
export function statusCommand(): Command {
  const command = withConnectionFlags(
    new Command('status').description(
      'Show the state of each endpoint, table by table. Exits with 1 if an endpoint does not answer, a table has no leader, or the cluster has not formed.',
    ),
  )
    .option('--table <name>', 'Show this table alone.')
    .option('--problems', 'Show what is wrong alone.', false)
    .option(
      '--watch',
      'Go on until Ctrl-C and ask each endpoint once a second: on a terminal as a screen that is drawn anew, elsewhere a line for each change.',
      false,
    );
  withExamples(
    command,
    'coxswain status -o table',
    'coxswain status --problems --endpoints 10.0.0.1:8443,10.0.0.2:8443',
    'coxswain status --watch --table users',
  );
  return command.action(async () => {
    // This is read first: the table of a --config file is for reading and writing, and leaves nothing out here.
    const filter = command.opts<StatusFlags>();
    const { table } = filter;
    const flags = connectionFlags(command);
    if (filter.watch) {
      const { watchStatus } = await import('../status-watch.js');
      await watchStatus(flags, filter);
      return;
    }
    const answers = await askEach(flags, (client) => client.cluster.status());
    if (table !== undefined && isUnknown(table, answers)) {
      throw failure(`there is no table '${table}': see coxswain tables list`);
    }
    const report = new StatusReport(answers, filter);
    if (flags.output !== 'json') process.stdout.write(`${report.summary}\n`);
    if (report.answers.length > 0) printEach(flags, report.answers, report.tables);
    if (flags.output !== 'json') {
      for (const part of [report.following, report.followed, report.archived]) {
        if (part.rows.length > 0) print(flags, {}, part);
      }
    }
    if (report.failure !== undefined) throw failure(report.failure);
  });
}

/** Whether every endpoint answers, and none has the table. */
function isUnknown(
  table: string,
  answers: readonly { readonly response?: { readonly tables: ReadonlyMap<string, unknown> } }[],
): boolean {
  return answers.every(({ response }) => response !== undefined && !response.tables.has(table));
}
