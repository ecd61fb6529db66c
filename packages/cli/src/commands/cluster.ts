import { Coxswain } from '@coxswain/client';
import type { regatta } from '@coxswain/protocol';
import { Command } from 'commander';
import { confirmLoss } from '../confirm.js';
import {
  type ConnectionFlags,
  connectionFlags,
  connectOptions,
  withClient,
  withConnectionFlags,
} from '../connection-flags.js';
import { failure } from '../exit.js';
import { formatSize, renderJson, renderTable } from '../output.js';

/** `tables`, `members`, `status` and `health`. */
export function clusterCommands(): Command[] {
  return [tablesCommand(), membersCommand(), statusCommand(), healthCommand()];
}

function tablesCommand(): Command {
  const list = withConnectionFlags(new Command('list').description('list the tables'));
  list.action(async () => {
    const flags = connectionFlags(list);
    const response = await withClient(flags, (client) => client.tables.list());
    print(flags, response, {
      simple: response.tables.map(({ name }) => name),
      head: ['ID', 'NAME', 'CONFIG'],
      rows: response.tables.map(({ id, name, config }) => [id, name, config ? JSON.stringify(config) : '']),
    });
  });
  const create = withConnectionFlags(new Command('create').description('make a table').argument('<name>'));
  create.action(async (name: string) => {
    const flags = connectionFlags(create);
    const id = await withClient(flags, (client) => client.tables.create(name));
    print(flags, { id }, { simple: [id], head: ['ID', 'NAME'], rows: [[id, name]] });
  });
  const remove = withConnectionFlags(
    new Command('delete').description('remove a table with all of its keys').argument('<name>'),
  ).option('--yes', 'do not ask', false);
  remove.action(async (name: string) => {
    const flags = { ...connectionFlags(remove), ...remove.opts<{ readonly yes: boolean }>() };
    await withClient(flags, async (client) => {
      if (!flags.yes) await confirmLoss(client, [name], { doing: 'removes the table' });
      await client.tables.delete(name);
    });
    print(flags, {}, { simple: ['OK'], head: ['DELETED'], rows: [[name]] });
  });
  return group('tables', 'list, make and remove tables', [list, create, remove]);
}

function membersCommand(): Command {
  const list = withConnectionFlags(new Command('list').description('list the members of the cluster'));
  list.action(async () => {
    const flags = connectionFlags(list);
    const response = await withClient(flags, (client) => client.cluster.memberList());
    const rows = response.members.map(({ id, name, peerURLs, clientURLs }) => [
      id,
      name,
      peerURLs.join(','),
      clientURLs.join(','),
    ]);
    print(flags, response, {
      simple: rows.map((row) => row.join(', ')),
      head: ['ID', 'NAME', 'PEER ADDRESSES', 'CLIENT ADDRESSES'],
      rows,
    });
  });
  return group('members', 'list the members of the cluster', [list]);
}

/** What one endpoint said, or why it said nothing. */
interface Answer<T> {
  readonly endpoint: string;
  readonly response?: T;
  readonly error?: string;
}

function statusCommand(): Command {
  const command = withConnectionFlags(
    new Command('status').description('show the state of each endpoint, table by table'),
  );
  return command.action(async () => {
    const flags = connectionFlags(command);
    const answers = await askEach(flags, (client) => client.cluster.status());
    const rows = answers.flatMap(({ endpoint, response, error }) =>
      response ? statusRows(endpoint, response) : [[endpoint, '', '', '', '', '', '', '', error ?? '']],
    );
    printEach(flags, answers, {
      simple: rows.map((row) => row.join(', ')),
      head: ['ENDPOINT', 'ID', 'VERSION', 'TABLE', 'LEADER', 'TERM', 'APPLIED', 'SIZE', 'ERRORS'],
      rows,
    });
    if (flags.output !== 'json') {
      printReplication(flags, answers);
      printArchive(flags, answers);
    }
    failWhenOneIsSilent(answers);
  });
}

function statusRows(endpoint: string, { id, version, tables, errors }: regatta.StatusResponse): string[][] {
  const lines = [...tables].map(([name, table]) => [
    endpoint,
    id,
    version,
    name,
    table.leader === '0' ? 'none' : table.leader,
    String(table.raftTerm),
    String(table.raftAppliedIndex),
    formatSize(Number(table.dbSize)),
    errors.join('; '),
  ]);
  return lines.length > 0 ? lines : [[endpoint, id, version, '', '', '', '', '', errors.join('; ')]];
}

/** How far each table is archived, by the node that archives it; nothing where no archive is configured. */
function printArchive(flags: ConnectionFlags, answers: readonly Answer<regatta.StatusResponse>[]): void {
  const rows = answers.flatMap(({ endpoint, response }) =>
    [...(response?.tables ?? [])].flatMap(([name, { archive }]) => {
      if (archive === undefined || archive.state === 'elsewhere') return [];
      const { state, archivedIndex, archivedTimeMs, backlogBytes, gapCount, error } = archive;
      return [
        [
          endpoint,
          name,
          state,
          String(archivedIndex),
          archivedTimeMs === 0n ? '' : new Date(Number(archivedTimeMs)).toISOString(),
          formatSize(Number(backlogBytes)),
          String(gapCount),
          error,
        ],
      ];
    }),
  );
  if (rows.length === 0) return;
  print(
    flags,
    {},
    {
      simple: rows.map((row) => `archives, ${row.join(', ')}`),
      head: ['ENDPOINT', 'TABLE', 'STATE', 'ARCHIVED INDEX', 'OF', 'WAITS', 'GAPS', 'ERROR'],
      rows,
    },
  );
}

/** Who replicates from whom and how far behind; nothing where nobody does. */
function printReplication(flags: ConnectionFlags, answers: readonly Answer<regatta.StatusResponse>[]): void {
  const following = answers.flatMap(({ endpoint, response }) => {
    if (response === undefined || response.role === 'leader') return [];
    const { role, leaderAddress, leaderClusterId, tables } = response;
    return [...tables].map(([name, { replication }]) => [
      endpoint,
      role,
      name,
      leaderClusterId === '' ? leaderAddress : `${leaderAddress} (${leaderClusterId})`,
      replication?.state ?? '',
      String(replication?.leaderIndex ?? 0n),
      ...(replication === undefined || replication.state === 'elsewhere'
        ? ['', '']
        : [`${replication.lagEntries} entries`, `${Number(replication.lagMs) / 1000} s`]),
      replication?.error ?? '',
    ]);
  });
  const followed = answers.flatMap(({ endpoint, response }) =>
    (response?.followers ?? []).map(({ table, follower, leaderIndex, lagEntries, lastSeenMs }) => [
      endpoint,
      table,
      follower,
      String(leaderIndex),
      `${lagEntries} entries`,
      `${Number(lastSeenMs) / 1000} s ago`,
    ]),
  );
  if (following.length > 0) {
    print(
      flags,
      {},
      {
        simple: following.map((row) => `replicates, ${row.join(', ')}`),
        head: ['ENDPOINT', 'ROLE', 'TABLE', 'FROM', 'STATE', 'LEADER INDEX', 'BEHIND', 'FOR', 'ERROR'],
        rows: following,
      },
    );
  }
  if (followed.length > 0) {
    print(
      flags,
      {},
      {
        simple: followed.map((row) => `replicated by, ${row.join(', ')}`),
        head: ['ENDPOINT', 'TABLE', 'FOLLOWER', 'LEADER INDEX', 'BEHIND', 'LAST SEEN'],
        rows: followed,
      },
    );
  }
}

function healthCommand(): Command {
  const command = withConnectionFlags(
    new Command('health').description('ask each endpoint whether it serves; exits 1 when one does not'),
  );
  return command.action(async () => {
    const flags = connectionFlags(command);
    const answers = await askEach(flags, (client) => client.cluster.health());
    const rows = answers.map(({ endpoint, response, error }) => [
      endpoint,
      response?.isServing ? 'healthy' : 'unhealthy',
      response?.reason ?? error ?? '',
    ]);
    printEach(flags, answers, {
      simple: rows.map((row) => row.filter((cell) => cell !== '').join(', ')),
      head: ['ENDPOINT', 'HEALTH', 'REASON'],
      rows,
    });
    const unhealthy = rows.filter(([, health]) => health !== 'healthy').map(([endpoint]) => endpoint);
    if (unhealthy.length > 0) throw failure(`not healthy: ${unhealthy.join(', ')}: see the log of that node`);
  });
}

/** Asks every endpoint by itself, at the same time. */
function askEach<T>(flags: ConnectionFlags, ask: (client: Coxswain) => Promise<T>): Promise<Answer<T>[]> {
  const options = connectOptions(flags);
  return Promise.all(
    options.endpoints.map(async (endpoint): Promise<Answer<T>> => {
      try {
        const client = await Coxswain.connect({ ...options, endpoints: [endpoint] });
        try {
          return { endpoint, response: await ask(client) };
        } finally {
          client.close();
        }
      } catch (error) {
        return { endpoint, error: (error as Error).message };
      }
    }),
  );
}

/** What is not asked successfully is not known to be well: scripts must not take it for that. */
function failWhenOneIsSilent(answers: readonly Answer<unknown>[]): void {
  const silent = answers.filter(({ response }) => response === undefined);
  if (silent.length > 0) {
    const reasons = silent.map(({ endpoint, error }) => `${endpoint}: ${error}`);
    throw failure(`${silent.length} of ${answers.length} endpoints do not answer: ${reasons.join('; ')}`);
  }
}

interface Shown {
  readonly simple: readonly string[];
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

function print(flags: ConnectionFlags, message: object, shown: Shown): void {
  if (flags.output === 'json') process.stdout.write(renderJson(message));
  else if (flags.output === 'table') process.stdout.write(renderTable(shown.head, shown.rows));
  else process.stdout.write(shown.simple.map((line) => `${line}\n`).join(''));
}

/** As JSON one object per endpoint and line. */
function printEach(flags: ConnectionFlags, answers: readonly Answer<object>[], shown: Shown): void {
  if (flags.output === 'json') process.stdout.write(answers.map((answer) => renderJson(answer)).join(''));
  else print(flags, {}, shown);
}

function group(name: string, description: string, commands: readonly Command[]): Command {
  const parent = new Command(name).description(description);
  for (const command of commands) parent.addCommand(command);
  return parent;
}
