import { createRequire } from 'node:module';
import { isTableName, TABLE_NAME_RULE } from '@coxswain/node';
import { isPeerAddress, parseListenAddress } from './address.js';
import { type Config, type ConfigOption, configOptions } from './config-schema.js';
import { nearestName } from './nearest-name.js';
import { formatDuration, parseDurationMs, parseSizeBytes } from './units.js';

/** A configuration that cannot be used. The message is one line that names the place and says how to correct it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  constructor(
    message: string,
    /** True when the command line is at fault, false when a file or the environment is. */
    readonly isUsage: boolean,
  ) {
    super(message);
  }
}

/** The sources of a configuration. */
export interface ConfigSources {
  /** The flags by option name, as given on the command line. */
  readonly flags: Readonly<Record<string, string | boolean>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The value of --config. Undefined means the search path, empty means no file. */
  readonly configFile: string | undefined;
  /** Returns a file's text, or undefined when there is no such file. */
  readonly readFile: (path: string) => string | undefined;
}

/** A configuration, with the lines that should be logged about it. */
export interface LoadedConfig {
  readonly config: Config;
  readonly file: string | undefined;
  /** One line for each given name that has no effect here or was ignored. */
  readonly notices: readonly string[];
}

const optionsByName = new Map<string, ConfigOption>(configOptions.map((option) => [option.name, option]));

/** Returns the paths at which a configuration file is looked for: those of Regatta, after our own. */
function searchPath(environment: ConfigSources['environment']): string[] {
  const home = environment['HOME'];
  const directories = ['/etc/coxswain', '/etc/regatta', '/config'];
  if (home) directories.push(`${home}/.coxswain`, `${home}/.regatta`);
  directories.push('.');
  return directories.flatMap((directory) => [`${directory}/config.yaml`, `${directory}/config.yml`]);
}

/**
 * Returns the names that an option has in the environment: ours first, then Regatta's. An option that Regatta does not
 * have has no bare name, since a DATA_DIR or CLONE_TOKEN belongs to another program.
 */
export function environmentNames({
  name,
  isOwn,
}: ConfigOption): readonly [own: string, ...regatta: string[]] {
  const bare = name.replace(/[.-]/g, '_').toUpperCase();
  return isOwn ? [`COXSWAIN_${bare}`] : [`COXSWAIN_${bare}`, bare];
}

/**
 * Combines the sources of the configuration: flags take precedence over the environment, that over the file, and that
 * over defaults. For a follower cluster `replication.address` is empty by default. A secret may also come from the file
 * that `<NAME>_FILE` in the environment names. Throws ConfigError.
 */
export function loadConfig(sources: ConfigSources, role: 'leader' | 'follower' = 'leader'): LoadedConfig {
  const values: Record<string, unknown> = {};
  for (const option of configOptions) values[option.name] = option.default;
  const given = new Set<string>();
  const passedOver: string[] = [];
  const set = (option: ConfigOption, raw: unknown, where: string, isUsage: boolean): void => {
    values[option.name] = parseOption(option, raw, where, isUsage);
    given.add(option.name);
  };

  const file = readConfigFile(sources);
  for (const [name, raw] of file?.entries ?? []) {
    const option = optionsByName.get(name);
    if (!option) {
      throw new ConfigError(`${file!.path}: unknown key "${name}": remove it or correct its name`, false);
    }
    set(option, raw, `${file!.path}: ${name}`, false);
  }

  refuseUnknownNames(sources.environment);
  for (const option of configOptions) {
    const found = findInEnvironment(option, sources);
    if (!found) continue;
    try {
      set(option, found.raw, found.where, false);
    } catch (error) {
      if (!(error instanceof ConfigError) || !found.isBare) throw error;
      const [own] = environmentNames(option);
      error.message += `; where it is meant for another program, set ${own}`;
      if (!isShared(option)) throw error;
      passedOver.push(`${error.message}: it is passed over`);
    }
  }

  for (const [name, raw] of Object.entries(sources.flags)) {
    const option = optionsByName.get(name);
    if (!option) throw new ConfigError(`unknown option '--${name}'`, true);
    set(option, raw, `--${name}`, true);
  }

  // A follower cluster is nobody's leader cluster (R5). On the host of a leader cluster the port is in use already, and
  // a start must not fail for a listener that nobody needs.
  if (role === 'follower' && !given.has('replication.address')) values['replication.address'] = '';

  const notices = [...given]
    .map((name) => optionsByName.get(name)!)
    .filter((option) => option.isMeaningless || (option.onlyFor ?? role) !== role)
    .map((option) => {
      const reason = option.isMeaningless ? option.description : `it is for ${option.onlyFor} clusters`;
      return `${option.name} is accepted and has no effect: ${reason}`;
    });
  return { config: values as Config, file: file?.path, notices: [...notices, ...passedOver] };
}

function readConfigFile(
  sources: ConfigSources,
): { path: string; entries: [name: string, raw: unknown][] } | undefined {
  if (sources.configFile === '') return undefined;
  const paths = sources.configFile === undefined ? searchPath(sources.environment) : [sources.configFile];
  for (const path of paths) {
    const text = sources.readFile(path);
    if (text !== undefined) return { path, entries: parseConfigFile(path, text) };
  }
  if (sources.configFile !== undefined) {
    throw new ConfigError(`${sources.configFile}: no such configuration file`, false);
  }
  return undefined;
}

/**
 * Loads the YAML parser, only when there is a file: most nodes have none, and it is a tenth of all modules that a node
 * loads.
 */
const loadYaml = (): typeof import('yaml') => createRequire(import.meta.url)('yaml');

/**
 * Reads the entries of a configuration file. Nested and dotted keys mean the same: `api: { address: … }` and
 * `api.address: …`.
 */
function parseConfigFile(path: string, text: string): [name: string, raw: unknown][] {
  const { isMap, isScalar, parseDocument } = loadYaml();
  const document = parseDocument(text, { prettyErrors: false });
  const error = document.errors[0];
  if (error) {
    const line = text.slice(0, error.pos[0]).split('\n').length;
    throw new ConfigError(`${path}:${line}: not valid YAML: ${firstLine(error.message)}`, false);
  }
  if (document.contents === null) return [];
  if (!isMap(document.contents)) throw new ConfigError(`${path}: must hold a map of options`, false);
  const entries: [string, unknown][] = [];
  const visit = (map: unknown, prefix: string): void => {
    if (!isMap(map)) return;
    for (const { key, value } of map.items) {
      const name = prefix + String(isScalar(key) ? key.value : key);
      if (isMap(value) && optionsByName.get(name)?.kind !== 'members') visit(value, `${name}.`);
      else entries.push([name, toPlain(value)]);
    }
  };
  visit(document.contents, '');
  return entries;
}

function toPlain(node: unknown): unknown {
  return node !== null && typeof node === 'object' && 'toJSON' in node
    ? (node as { toJSON(): unknown }).toJSON()
    : node;
}

/** The names of the commands' common flags, which the same environment may hold for the `coxswain` command. */
const commandNames = ['ENDPOINTS', 'TIMEOUT', 'TOKEN', 'CACERT', 'CERT', 'KEY'];
/** The names that Kubernetes puts into every container for a service whose name begins with `coxswain`. */
const kubernetesName =
  /^COXSWAIN_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$/;

/** Throws ConfigError for an unknown name, since a misspelt one would silently leave its option at the default. */
function refuseUnknownNames(environment: ConfigSources['environment']): void {
  const known = [
    ...configOptions.flatMap((option) => {
      const [own] = environmentNames(option);
      return option.kind === 'secret' ? [own, `${own}_FILE`] : [own];
    }),
    ...commandNames.map((name) => `COXSWAIN_${name}`),
  ];
  const isKnown = new Set(known);
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || !name.startsWith('COXSWAIN_') || isKnown.has(name)) continue;
    if (kubernetesName.test(name)) continue;
    const nearest = nearestName(name, known);
    const hint = nearest === undefined ? ': remove it or correct its name' : `: do you mean ${nearest}?`;
    throw new ConfigError(`${name}: no option has this name in the environment${hint}`, false);
  }
}

/**
 * Returns whether many programs read the option's bare name: LOG_LEVEL and DEV_MODE, which only choose what is logged.
 * A value that is meant for another program must not prevent a start there. A misspelt RAFT_INITIAL_MEMBERS or
 * API_CLIENT_CERT_AUTH must.
 */
function isShared({ name }: ConfigOption): boolean {
  return !name.includes('.');
}

function findInEnvironment(
  option: ConfigOption,
  sources: ConfigSources,
): { raw: string; where: string; isBare: boolean } | undefined {
  for (const name of environmentNames(option)) {
    const raw = sources.environment[name];
    const path = option.kind === 'secret' ? sources.environment[`${name}_FILE`] : undefined;
    if (raw !== undefined && path !== undefined) {
      throw new ConfigError(`${name} and ${name}_FILE are both set: remove one of them`, false);
    }
    const isBare = !name.startsWith('COXSWAIN_');
    if (raw !== undefined) return { raw, where: name, isBare };
    if (path !== undefined) {
      const content = sources.readFile(path);
      if (content === undefined) throw new ConfigError(`${name}_FILE: no such file: ${path}`, false);
      return { raw: content.trim(), where: `${name}_FILE`, isBare };
    }
  }
  return undefined;
}

function parseOption(option: ConfigOption, raw: unknown, where: string, isUsage: boolean): unknown {
  const refuse = (expected: string): never => {
    // A secret's text never reaches a terminal or a log.
    const got = option.kind === 'secret' ? '' : `, not ${JSON.stringify(raw)}`;
    throw new ConfigError(`${where}: must be ${expected}${got}`, isUsage);
  };
  const value = parseKind(option, raw, refuse);
  const { minimum } = option;
  if (minimum !== undefined && (value as number) < minimum) {
    throw new ConfigError(`${where}: must be >= ${minimum}`, isUsage);
  }
  return value;
}

function parseKind(option: ConfigOption, raw: unknown, refuse: (expected: string) => never): unknown {
  switch (option.kind) {
    case 'boolean':
      if (typeof raw === 'boolean') return raw;
      if (raw === 'true' || raw === '1') return true;
      if (raw === 'false' || raw === '0') return false;
      return refuse('true or false');
    case 'number': {
      const value = typeof raw === 'string' && raw.trim() !== '' ? Number(raw) : raw;
      return Number.isSafeInteger(value) ? value : refuse('a whole number');
    }
    case 'ratio': {
      const value = typeof raw === 'string' && raw.trim() !== '' ? Number(raw) : raw;
      return typeof value === 'number' && value >= 0 && value <= 1 ? value : refuse('a number from 0 to 1');
    }
    case 'durationMs':
      return parseDurationMs(String(raw)) ?? refuse('a duration such as 50ms, 1s or 5m');
    case 'sizeBytes':
      return parseSizeBytes(String(raw)) ?? refuse('a size such as 16777216 or 16MiB');
    case 'tableNames': {
      const names = Array.isArray(raw) ? raw.map(String) : itemsOf(String(raw));
      return names.every(isTableName) ? names : refuse(`names of ${TABLE_NAME_RULE}`);
    }
    case 'members':
      return (
        parseMembers(raw, option.minimum!) ??
        refuse(
          `members, each with an id and an address of its own, such as ${option.minimum}=host-a:5012,${option.minimum! + 1}=host-b:5012`,
        )
      );
    case 'address':
      if (typeof raw === 'string' && parseListenAddress(raw)) return raw;
      return refuse('an address such as http://127.0.0.1:8443 or unix:///run/coxswain.sock');
    case 'choice': {
      const value = String(raw).toLowerCase();
      return option.choices!.includes(value) ? value : refuse(`one of ${option.choices!.join(', ')}`);
    }
    case 'text':
    case 'secret':
      if (raw === null || typeof raw === 'object') {
        // Lists and maps are only accepted for names without effect here.
        return option.isMeaningless ? JSON.stringify(raw) : refuse('text');
      }
      return String(raw);
  }
}

/** Splits a list at its commas, and drops empty items. */
function itemsOf(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function parseMembers(raw: unknown, idMin: number): Record<string, string> | undefined {
  const pairs =
    raw !== null && typeof raw === 'object' && !Array.isArray(raw)
      ? Object.entries(raw)
      : (Array.isArray(raw) ? raw.map(String) : String(raw).split(','))
          .filter((item) => item.trim() !== '')
          .map((item) => item.trim().split('='));
  const members: Record<string, string> = {};
  for (const [id, address] of pairs) {
    const isId = /^(?:0|[1-9]\d{0,14})$/.test(id ?? '') && Number(id) >= idMin;
    if (!isId || !isPeerAddress(String(address)) || members[id!]) return undefined;
    members[id!] = String(address);
  }
  // With equal addresses, one node would answer for two members.
  const addresses = Object.values(members);
  return new Set(addresses).size === addresses.length ? members : undefined;
}

const MASKED_SECRET = '**********';

/** Returns the configuration as Cluster.Status shows it: dotted names, secrets masked (docs/protocol.md §1). */
export function describeConfig(config: Config): Record<string, unknown> {
  const described: Record<string, unknown> = {};
  for (const { name, kind } of configOptions) {
    const value = config[name];
    if (kind === 'secret') described[name] = value === '' ? '' : MASKED_SECRET;
    else if (kind === 'durationMs') described[name] = formatDuration(value as number);
    else described[name] = value;
  }
  return described;
}

function firstLine(message: string): string {
  return message.split('\n')[0]!.trim();
}
