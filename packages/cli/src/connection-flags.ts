import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { SecureContextOptions } from 'node:tls';
import { type ConnectOptions, Coxswain } from '@coxswain/client';
import { type Command, Option } from 'commander';
import { failure, usageError } from './exit.js';
import { whyUnusable } from './file-error.js';
import type { OutputFormat } from './output.js';
import { leaderPorts } from './playground-ports.js';

/** The flags that the commands which talk to a cluster share: how to reach it, and how to show its answers. */
export interface ConnectionFlags {
  readonly endpoints: string;
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
  readonly timeout: number;
  readonly config?: string;
  readonly output: OutputFormat;
  readonly hex: boolean;
}

/** The default of --endpoints: the playground's first three API addresses. */
const defaultEndpoints = [1, 2, 3].map((node) => `127.0.0.1:${leaderPorts(node, 0).api}`).join(',');

/**
 * Adds the common flags to a command. Each can also come from the environment, or from the file that --config names.
 */
export function withConnectionFlags(command: Command): Command {
  const options = [
    new Option('--endpoints <addresses>', 'API addresses of some or all nodes, separated by commas.').default(
      defaultEndpoints,
    ),
    new Option(
      '--cacert <file>',
      "Authorities that must have signed the servers' certificates, in PEM. Turns on TLS.",
    ),
    new Option('--cert <file>', 'Certificate to show to servers that ask for one, in PEM. Turns on TLS.'),
    new Option('--key <file>', 'Private key of --cert, in PEM.'),
    new Option('--token <token>', 'Token that tables.token or maintenance.token of the nodes asks for.'),
    new Option(
      '--timeout <duration>',
      'Time that an operation may take: 500ms, 5s, 1m; a number alone is seconds.',
    )
      .default(5_000, '5s')
      .argParser(parseTimeoutMs),
  ];
  for (const option of options) option.env(environmentName(option));
  options.push(
    new Option(
      '--config <file>',
      'YAML file with any of endpoints, cacert, cert, key, token, timeout and table.',
    ),
    new Option('-o, --output <format>', 'Form of the results.')
      .choices(['simple', 'table', 'json'])
      .default('simple'),
    new Option('--hex', 'Read and write keys and values in hexadecimal.').default(false),
  );
  for (const option of options) command.addOption(option.helpGroup('Connection and output:'));
  return command;
}

function environmentName(option: Option): string {
  return `COXSWAIN_${option.name().toUpperCase()}`;
}

/**
 * Throws a usage error for a name in the environment that is no flag: COXSWAIN_ENDPIONTS would otherwise leave
 * --endpoints at its default without a word. The same environment may hold options of nodes, which all have a second
 * underscore, and the COXSWAIN_PORT that Kubernetes makes for a service.
 */
function refuseUnknownNames(command: Command, environment: NodeJS.ProcessEnv): void {
  const known = command.options.flatMap(({ envVar }) => envVar ?? []);
  const unknown = Object.keys(environment).find(
    (name) => /^COXSWAIN_[^_]*$/.test(name) && name !== 'COXSWAIN_PORT' && !known.includes(name),
  );
  if (unknown !== undefined)
    throw usageError(`${unknown}: no flag has this name in the environment: use ${known.join(', ')}`);
}

function parseTimeoutMs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text);
  const timeoutMs = match === null ? 0 : Number(match[1]) * { ms: 1, s: 1_000, m: 60_000 }[match[2] ?? 's']!;
  if (timeoutMs > 0) return timeoutMs;
  throw usageError(`--timeout: must be a duration above 0 such as 500ms, 5s or 1m, not ${text}`);
}

/**
 * Returns the flags of a command as given, with those that the configuration file adds. Command line and environment
 * win. Throws usage errors.
 */
export function connectionFlags(command: Command): ConnectionFlags {
  refuseUnknownNames(command, process.env);
  const file = command.getOptionValue('config') as string | undefined;
  if (file !== undefined) readClientConfig(file, command);
  return command.opts<ConnectionFlags>();
}

/** Adds --address, which takes one URL, as in Regatta's commands, and stands for --endpoints. */
export function withAddressFlag(command: Command): Command {
  return command.addOption(new Option('--address <url>', 'One node of the cluster, instead of --endpoints.'));
}

/** Returns the flags as `connectionFlags` does, with those of an --address in place of --endpoints. */
export function addressedFlags<Flags extends { readonly address?: string }>(
  command: Command,
): ConnectionFlags & Flags {
  const flags = { ...connectionFlags(command), ...command.opts<Flags>() };
  return flags.address === undefined ? flags : { ...flags, endpoints: flags.address };
}

const fileKeys = ['endpoints', 'cacert', 'cert', 'key', 'token', 'timeout', 'table'];

/** Loads the YAML parser, for a configuration file alone: it is a third of all modules that a command loads. */
const loadYaml = (): typeof import('yaml') => createRequire(import.meta.url)('yaml');

function readClientConfig(file: string, command: Command): void {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw failure(`${file}: ${whyUnusable(error)}`);
  }
  let content: unknown;
  try {
    content = loadYaml().parse(text, { prettyErrors: false });
  } catch (error) {
    throw failure(`${file}: not valid YAML: ${(error as Error).message.split('\n')[0]}`);
  }
  if (content === null) return;
  if (typeof content !== 'object' || Array.isArray(content))
    throw failure(`${file}: must hold a map of flags`);
  for (const [key, value] of Object.entries(content)) {
    if (!fileKeys.includes(key)) throw failure(`${file}: unknown key "${key}": use ${fileKeys.join(', ')}`);
    const source = command.getOptionValueSource(key);
    if (source !== undefined && source !== 'default') continue;
    const text = Array.isArray(value) ? value.join(',') : String(value);
    command.setOptionValue(key, key === 'timeout' ? parseTimeoutMs(text) : text);
  }
}

/** Returns the options for the client library that the flags ask for. Throws usage errors. */
export function connectOptions(flags: ConnectionFlags): ConnectOptions {
  const endpoints = flags.endpoints
    .split(',')
    .map((address) => address.trim())
    .filter((address) => address !== '');
  if (endpoints.length === 0) throw usageError('--endpoints: name at least one, such as 127.0.0.1:8443');
  if ((flags.cert === undefined) !== (flags.key === undefined)) {
    throw usageError('--cert and --key must be given together');
  }
  const tls = {
    ...readPem('ca', flags.cacert),
    ...readPem('cert', flags.cert),
    ...readPem('key', flags.key),
  };
  if (flags.cert !== undefined) checkPair(flags, tls);
  return {
    endpoints,
    timeoutMs: flags.timeout,
    ...(flags.token === undefined ? {} : { token: flags.token }),
    ...(flags.cacert === undefined && flags.cert === undefined ? {} : { tls }),
  };
}

/** Finds files that do not belong together here, by name, and not only in the first handshake. */
function checkPair({ cert, key }: ConnectionFlags, tls: SecureContextOptions): void {
  // Only a command that uses certificates loads the modules that read them. The same holds below.
  const { createSecureContext } = process.getBuiltinModule('node:tls');
  try {
    createSecureContext({ cert: tls.cert, key: tls.key });
  } catch (error) {
    throw failure(`${cert} and ${key} are no certificate and its key: ${whatOpenSslSays(error)}`);
  }
}

/** Returns OpenSSL's text for an error, without the numbers of its modules and functions. */
const whatOpenSslSays = (error: unknown): string =>
  (error as Error).message.replace(/^error:\w+:/, '').trim();

function readPem<Name extends string>(name: Name, file: string | undefined): { [name in Name]?: Buffer } {
  if (file === undefined) return {};
  let pem: Buffer;
  try {
    pem = readFileSync(file);
  } catch (error) {
    throw failure(`${file}: ${whyUnusable(error)}`);
  }
  if (name !== 'key' && !holdsCertificate(pem)) throw failure(`${file}: it holds no certificate in PEM`);
  return { [name]: pem } as { [name in Name]?: Buffer };
}

/** Whether a file contains a certificate. TLS silently ignores an authority that it cannot read. */
function holdsCertificate(pem: Buffer): boolean {
  const { X509Certificate } = process.getBuiltinModule('node:crypto');
  try {
    new X509Certificate(pem);
    return pem.includes('-----BEGIN ');
  } catch {
    return false;
  }
}

/** Connects, runs `run`, and disconnects whatever happens. */
export async function withClient<T>(
  flags: ConnectionFlags,
  run: (client: Coxswain) => Promise<T>,
): Promise<T> {
  const client = await Coxswain.connect(connectOptions(flags));
  try {
    return await run(client);
  } finally {
    client.close();
  }
}
