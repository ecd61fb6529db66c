import { Command } from 'commander';
import { askEach, print, printEach } from '../ask-each.js';
import { withExamples } from '../command-line.js';
import { confirmLoss } from '../confirm.js';
import { connectionFlags, withClient, withConnectionFlags } from '../connection-flags.js';
import { failure } from '../exit.js';
import { statusCommand } from './status.js';

/** Makes the commands `tables`, `members`, `status` and `health`. */
export function clusterCommands(): Command[] {
  return [tablesCommand(), membersCommand(), statusCommand(), healthCommand()];
}

function tablesCommand(): Command {
  const list = withConnectionFlags(new Command('list').description('List the tables.'));
  withExamples(list, 'coxswain tables list', 'coxswain tables list -o json --endpoints 10.0.0.1:8443');
  list.action(async () => {
    const flags = connectionFlags(list);
    const response = await withClient(flags, (client) => client.tables.list());
    print(flags, response, {
      simple: response.tables.map(({ name }) => name),
      head: ['ID', 'NAME', 'CONFIG'],
      rows: response.tables.map(({ id, name, config }) => [id, name, config ? JSON.stringify(config) : '']),
    });
  });
  const create = withConnectionFlags(new Command('create').description('Create a table.').argument('<name>'));
  withExamples(create, 'coxswain tables create users');
  create.action(async (name: string) => {
    const flags = connectionFlags(create);
    const id = await withClient(flags, (client) => client.tables.create(name));
    print(flags, { id }, { simple: [id], head: ['ID', 'NAME'], rows: [[id, name]] });
  });
  const remove = withConnectionFlags(
    new Command('delete').description('Delete a table with all of its keys.').argument('<table>'),
  ).option('--yes', 'Do not ask.', false);
  withExamples(remove, 'coxswain tables delete users', 'coxswain tables delete users --yes');
  remove.action(async (name: string) => {
    const flags = { ...connectionFlags(remove), ...remove.opts<{ readonly yes: boolean }>() };
    await withClient(flags, async (client) => {
      if (!flags.yes) await confirmLoss(client, [name], { doing: 'removes the table' });
      await client.tables.delete(name);
    });
    print(flags, {}, { simple: ['OK'], head: ['DELETED'], rows: [[name]] });
  });
  return group('tables', 'List, create and delete tables.', [list, create, remove]);
}

function membersCommand(): Command {
  const list = withConnectionFlags(new Command('list').description('List the members of the cluster.'));
  withExamples(list, 'coxswain members list -o table');
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
  return group('members', 'List the members of the cluster.', [list]);
}

function healthCommand(): Command {
  const command = withConnectionFlags(
    new Command('health').description('Ask each endpoint whether it serves. Exits with 1 if one does not.'),
  );
  withExamples(command, 'coxswain health', 'coxswain health --endpoints 10.0.0.1:8443 --timeout 1s');
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

function group(name: string, description: string, commands: readonly Command[]): Command {
  const parent = new Command(name).description(description);
  for (const command of commands) parent.addCommand(command);
  return parent;
}
