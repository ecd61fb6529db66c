import { isDeepStrictEqual } from 'node:util';
import {
  allEventKinds,
  type ConfigOption,
  configGroups,
  configOptions,
  createLog,
  EventJournal,
  optionDefault,
  optionLimits,
  optionValue,
  Server,
  StartError,
  serverEvents,
} from '@coxswain/server';
import { Command, type Help, Option } from 'commander';
import { prepare } from '../command-line.js';
import { ExitCode } from '../exit.js';
import { loadNodeConfig } from '../node-config.js';

type Role = 'leader' | 'follower';

/** Runs `coxswain leader` or `coxswain follower` with the arguments that follow the name. */
export async function runNode(role: Role, argv: readonly string[]): Promise<void> {
  await prepare(nodeCommand(role)).parseAsync([...argv], { from: 'user' });
}

function nodeCommand(role: Role): Command {
  const command = new Command(`coxswain ${role}`)
    .description(`Run one node of a ${role} cluster, until SIGTERM or SIGINT.`)
    .option('--config <file>', 'YAML file with any of these options. (default: see below; empty: none)')
    .configureHelp({ formatItem: flagAboveDescription })
    .addHelpText('after', NODE_HELP);
  const defaults = loadNodeConfig(role, {}, '', {}).config;
  const isShown = ({ onlyFor = role }: ConfigOption): boolean => onlyFor === role;
  for (const { title, options } of configGroups) {
    for (const option of options) {
      // A switch may stand alone.
      const value = option.kind === 'boolean' ? `[${optionValue(option)}]` : `<${optionValue(option)}>`;
      const facts = [`default: ${optionDefault(option, defaults[option.name])}`, ...optionLimits(option)];
      const description = `${option.description} (${facts.join('; ')})`;
      const flag = new Option(`--${option.name} ${value}`, description).helpGroup(`${title}:`);
      command.addOption(isShown(option) ? flag : flag.hideHelp());
    }
  }
  for (const { name, isMeaningless } of configOptions) {
    // The same holds for names that mean nothing here, whatever they meant to Regatta.
    if (isMeaningless) command.addOption(new Option(`--${name} [value]`).hideHelp());
  }
  return command.action(() => run(role, command));
}

/**
 * Formats the help of an option with its description below the flag: beside the long names it would have a third of a
 * terminal's width.
 */
function flagAboveDescription(term: string, _: number, description: string, helper: Help): string {
  const indent = ' '.repeat(6);
  const lines = helper.boxWrap(description, (helper.helpWidth ?? 80) - indent.length).split('\n');
  return [`  ${term}`, ...lines.map((line) => indent + line)].join('\n');
}

const NODE_HELP = `
A duration is written as 50ms, 1.5s or 1h30m, a size as 16777216 or 16MiB; items
of a list are separated by commas.

Each option can also be set in the environment (COXSWAIN_API_ADDRESS for
api.address, and API_ADDRESS where Regatta has the option too) or in a YAML
file: the one that --config names, else the first config.yaml or config.yml in
/etc/coxswain, /etc/regatta, /config, $HOME/.coxswain, $HOME/.regatta and the
working directory. A flag wins over the environment, and that over the file. A
secret can also be in a file that the environment names:
COXSWAIN_TABLES_TOKEN_FILE for tables.token.`;

async function run(role: Role, command: Command): Promise<void> {
  const flags: Record<string, string | boolean> = {};
  for (const option of command.options) {
    const value = command.getOptionValue(option.attributeName()) as string | boolean | undefined;
    if (option.name() !== 'config' && value !== undefined) flags[option.name()] = value;
  }
  const load = () =>
    loadNodeConfig(role, flags, command.getOptionValue('config') as string | undefined, process.env);
  const { config, file, notices } = load();
  const isText = config['dev-mode'] && config['log.format'] === 'auto';
  const { write, setLevel, flush } = createLog({
    level: config['log-level'],
    format: isText ? 'text' : config['log.format'],
    nodeId: config['raft.node-id'],
  });
  const journal = new EventJournal({ kinds: allEventKinds, write });
  const { log } = journal;
  const fatal = (error: unknown): void => {
    // A fault that the operator is to mend needs no stack: its text says what could not be done.
    const isForOperator = error instanceof StartError;
    const reason = error instanceof Error ? error.message : String(error);
    const stack = error instanceof Error ? error.stack : undefined;
    log(serverEvents.nodeFailed, { error: isForOperator ? reason : (stack ?? reason) });
    flush();
    const line = reason.split('\n')[0]!;
    process.stderr.write(`coxswain: ${isForOperator ? '' : 'the node stops: '}${line}\n`);
    process.exit(ExitCode.Failed);
  };
  // After a broken invariant the process must not continue.
  process.once('uncaughtException', fatal);
  process.once('unhandledRejection', fatal);
  if (file !== undefined) log(serverEvents.configurationRead, { file });
  for (const notice of notices) log(serverEvents.optionWithoutEffect, { notice });

  const server = new Server(config, journal, fatal, role);
  const stop = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => {
        log(serverEvents.nodeStopping, { signal });
        resolve();
      });
    // A node that another process watches over does not outlive that process.
    if (process.connected) {
      process.once('disconnect', () => resolve());
      process.channel?.unref();
    }
  });
  let level = config['log-level'];
  process.on('SIGHUP', () => {
    try {
      const next = load().config;
      const changed = server.reloadCertificates().map((listener) => `certificates of ${listener}`);
      changed.push(...server.replaceTokens(next));
      if (next['log-level'] !== level) changed.push(`log-level ${level} -> ${next['log-level']}`);
      level = next['log-level'];
      setLevel(level);
      const needsRestart = configOptions
        .map(({ name }) => name)
        .filter((name) => name !== 'log-level' && !server.usesToken(name, next))
        .filter((name) => !isDeepStrictEqual(next[name], config[name]));
      log(serverEvents.configurationReloaded, { changed, needsRestart });
    } catch (error) {
      log(serverEvents.configurationUnusable, {
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  });
  await server.start();
  // The playground waits for this word.
  process.send?.('started');
  await Promise.race([stop, server.closed]);
  await server.stop();
  flush();
  process.exit(ExitCode.Done);
}
