import { type Coxswain, OutcomeUnknownError } from '@coxswain/client';
import type { regatta } from '@coxswain/protocol';
import { Command } from 'commander';
import { withExamples } from '../command-line.js';
import { confirm } from '../confirm.js';
import { addressedFlags, withAddressFlag, withClient, withConnectionFlags } from '../connection-flags.js';
import { counted } from '../counted.js';
import { failure, usageError } from '../exit.js';
import { printDone } from '../output.js';

/** Milliseconds between two looks at the progress. */
const LOOK_MS = 250;
/** Milliseconds that a promotion may take, in which every table is copied. */
const PROMOTE_TIMEOUT_MS = 3_600_000;

/** Makes the commands `reset`, `promote` and `clone forget`. */
export function maintenanceCommands(): Command[] {
  return [resetCommand(), promoteCommand(), cloneCommand()];
}

interface ResetFlags {
  readonly table?: string;
  readonly all: boolean;
  readonly wait: boolean;
  readonly address?: string;
}

function resetCommand(): Command {
  const command = withAddressFlag(
    withConnectionFlags(
      new Command('reset').description('Have a follower cluster copy tables from its leader cluster anew.'),
    ),
  )
    .option('--table <name>', 'Table to copy.')
    .option('--all', 'Copy every table, also from another leader cluster than before.', false)
    .option('--no-wait', 'Return without waiting for the end.');
  withExamples(
    command,
    'coxswain reset --table users --endpoints 127.0.0.1:9443',
    'coxswain reset --all --no-wait --endpoints 127.0.0.1:9443',
  );
  return command.action(async () => {
    const flags = addressedFlags<ResetFlags>(command);
    const { table, all } = flags;
    if (all === (table !== undefined)) throw usageError('give either --table or --all');
    await withClient(flags, async (client) => {
      const before = shardsOf((await client.cluster.status()).tables);
      await client.maintenance.reset(all ? 'all' : { table: table! });
      if (flags.wait)
        await untilReset(client, new Map([...before].filter(([name]) => all || name === table)));
    });
    printDone(flags.output, 'OK', {});
  });
}

type Tables = regatta.StatusResponse['tables'];

/** Returns the shard of each table. A reset has ended when another shard has taken over. */
const shardsOf = (tables: Tables): Map<string, bigint> =>
  new Map([...tables].map(([name, { shardId }]) => [name, shardId]));

async function untilReset(client: Coxswain, before: ReadonlyMap<string, bigint>): Promise<void> {
  let told = -1;
  let isPauseTold = false;
  for (;;) {
    const { tables } = await client.cluster.status();
    const now = shardsOf(tables);
    const left = [...before].filter(([name, shardId]) => now.get(name) === shardId).length;
    if (left > 0 && !isPauseTold && [...tables.values()].some(isPaused)) {
      isPauseTold = true;
      process.stderr.write(
        'replication is paused here: this goes on when every node is resumed with "PUT /state/NAME/resume" of the REST listener\n',
      );
    }
    if (left !== told && process.stderr.isTTY) {
      process.stderr.write(`${before.size - left} of ${counted(before.size, 'table')} taken anew\n`);
    }
    if (left === 0) return;
    told = left;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

const isPaused = ({ replication }: regatta.TableStatus): boolean => replication?.state === 'paused';

interface PromoteFlags {
  readonly yes: boolean;
  readonly address?: string;
}

const PROMOTE_QUESTION =
  'The cluster stops following its leader cluster, for good, and takes writes of its own. What the leader cluster has\nwritten and was not replicated yet is lost here.';

function promoteCommand(): Command {
  const command = withAddressFlag(
    withConnectionFlags(
      new Command('promote').description('Turn a follower cluster into a leader cluster, for good.'),
    ),
  ).option('--yes', 'Do not ask.', false);
  withExamples(command, 'coxswain promote --endpoints 127.0.0.1:9443');
  return command.action(async () => {
    const flags = addressedFlags<PromoteFlags>(command);
    if (!flags.yes) await confirm(PROMOTE_QUESTION, 'promote cannot be undone');
    await withClient(flags, promote);
    printDone(
      flags.output,
      'OK: this is a leader cluster now; its nodes may be started with "coxswain leader" from now on',
      {},
    );
  });
}

async function promote(client: Coxswain): Promise<void> {
  try {
    await client.maintenance.promote({ timeoutMs: PROMOTE_TIMEOUT_MS });
  } catch (error) {
    if (!(error instanceof OutcomeUnknownError)) throw error;
    throw failure(
      `${error.message} (${error.endpoint}): what has begun goes on by itself; run promote again, which is safe: it waits for the end, or says that this is a leader cluster already`,
    );
  }
}

function cloneCommand(): Command {
  const command = new Command('clone').description(
    'Decide what becomes of a clone that failed (moco-agent).',
  );
  const forget = withAddressFlag(
    withConnectionFlags(
      new Command('forget').description(
        'Have the cluster serve what a clone that failed has brought, even if that is nothing.',
      ),
    ),
  );
  forget.addHelpText('after', FORGET_HELP);
  withExamples(forget, 'coxswain clone forget');
  forget.action(async () => {
    const flags = addressedFlags<{ readonly address?: string }>(forget);
    const { donor, error } = await withClient(flags, (client) => client.maintenance.forgetClone());
    const forgotten = `OK: the clone of ${donor} is forgotten${error && `, which failed: ${error}`}`;
    printDone(flags.output, donor === '' ? 'OK: there is no clone that failed' : forgotten, {
      ...(donor !== '' && { donor, error }),
    });
  });
  return command.addCommand(forget);
}

const FORGET_HELP = `
Clone, of moco-agent's CloneService, fills an empty cluster. No node of the
cluster says SERVING until a clone has succeeded, and none does after one that
failed, so that nobody takes half of the tables for all of them. Either delete
the tables that have come and clone again, or accept the cluster as it is with
this command.`;
