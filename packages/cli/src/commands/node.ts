import { isDeepStrictEqual } from 'node:util';
import { configOptions, createLog, describeConfig, Server, StartError } from '@coxswain/server';
import { Command, Option } from 'commander';
import { prepare } from '../command-line.js';
import { ExitCode } from '../exit.js';
import { loadNodeConfig } from '../node-config.js';

type Role = 'leader' | 'follower';

/** Runs `coxswain leader` or `coxswain follower` with the arguments that follow the name. */
export async function runNode(role: Role, argv: readonly string[]): Promise<void> {
  await prepare(nodeCommand(role)).parseAsync([...argv], { from: 'user' });
}

function nodeCommand(role: Role): Command {
  const command = new Command(`coxswain ${role}`).description(
    `run one node of a ${role} cluster, until SIGTERM or SIGINT`,
  );
  command.option('--config <file>', 'a YAML file with any of these options; empty: none');
  const defaults = describeConfig(loadNodeConfig(role, {}, '', {}).config);
  for (const option of configOptions) {
    // Switches may stand alone, and so may names that mean nothing here, whatever they meant to Regatta.
    const takesValue = option.kind === 'boolean' || option.isMeaningless ? '[value]' : '<value>';
    const flag = new Option(
      `--${option.name} ${takesValue}`,
      option.description + showDefault(defaults[option.name]),
    );
    const isHidden = option.isMeaningless || (option.onlyFor ?? role) !== role;
    command.addOption(isHidden ? flag.hideHelp() : flag);
  }
  return command.action(() => run(role, command));
}

async function run(role: Role, command: Command): Promise<void> {
  const flags: Record<string, string | boolean> = {};
  for (const option of command.options) {
    const value = command.getOptionValue(option.attributeName()) as string | boolean | undefined;
    if (option.name() !== 'config' && value !== undefined) flags[option.name()] = value;
  }
  const load = () =>
    loadNodeConfig(role, flags, command.getOptionValue('config') as string | undefined, process.env);
  const { config, file, notices } = load();
  const { log, setLevel, flush } = await createLog({
    level: config['log-level'],
    isPretty: config['dev-mode'],
    nodeId: config['raft.node-id'],
  });
  const fatal = (error: unknown): void => {
    // What the operator is to mend needs no stack, and says itself what could not be done.
    const isForOperator = error instanceof StartError;
    const reason = error instanceof Error ? error.message : String(error);
    const stack = error instanceof Error ? error.stack : undefined;
    log('error', 'the node stops', { error: isForOperator ? reason : (stack ?? reason) });
    flush();
    const line = reason.split('\n')[0]!;
    process.stderr.write(`coxswain: ${isForOperator ? '' : 'the node stops: '}${line}\n`);
    process.exit(ExitCode.Failed);
  };
  // A broken invariant is no state to go on from.
  process.once('uncaughtException', fatal);
  process.once('unhandledRejection', fatal);
  if (file !== undefined) log('info', 'configuration file read', { file });
  for (const notice of notices) log('warn', notice);

  const server = new Server(config, log, fatal, role);
  const stop = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => {
        log('info', 'the node was asked to stop', { signal });
        resolve();
      });
    // A node that another process watches over does not outlive it.
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
      log('info', 'SIGHUP: read again', { changed, needsRestart });
    } catch (error) {
      log('error', 'SIGHUP: nothing is changed, the configuration cannot be read', {
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

/** Not given to commander as a default: what was given must be told from what was not. */
function showDefault(value: unknown): string {
  const isShown =
    typeof value === 'number' || typeof value === 'boolean' || (typeof value === 'string' && value);
  return isShown ? ` (default: ${value})` : '';
}
