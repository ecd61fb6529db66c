import type { Node } from '@coxswain/node';
import { parseListenAddress } from '../config/address.js';
import { describeConfig } from '../config/config.js';
import type { Config } from '../config/config-schema.js';
import { nodeName } from '../config/node-options.js';
import type { Token } from '../grpc/bearer-token.js';
import type { Tokens } from '../grpc/tokens.js';
import { version } from '../process/version.js';
import { Console, type ConsoleOptions } from '../rest/console/console.js';
import type { Archive } from './archive.js';
import type { Shared } from './shared.js';

/** What the console shows, and hands requests to, beside the node. */
export interface ConsoleParts
  extends Pick<
    ConsoleOptions,
    'kv' | 'binlog' | 'follower' | 'maintenance' | 'problems' | 'diskUse' | 'readiness'
  > {
  readonly archive: Archive | undefined;
}

/** Makes the console, which the REST listener serves and which measures the node from its start on. */
export function openConsole(node: Node, shared: Shared, { archive, ...console }: ConsoleParts): Console {
  const { config, certificates, metrics, tokens, journal, log, parts } = shared;
  const opened = new Console({
    ...console,
    node,
    name: nodeName(config),
    clusterName: config['memberlist.cluster-name'],
    version,
    archive: () => archive?.archiver.status(),
    store: archive?.store,
    certificates: () => certificates.all,
    grpc: metrics,
    token: tokenOf(tokens),
    hostNames: hostNamesOf(config),
    config: () => describeConfig(config),
    hasTables: config['tables.enabled'],
    hasMaintenance: config['maintenance.enabled'],
    journal,
    log,
  });
  parts.add('rest listener', opened);
  return opened;
}

/** The token of the console: its own, or else that of its listener, or else that of what it can do. */
function tokenOf(tokens: Tokens): Token {
  const names = ['rest.console-token', 'rest.token', 'maintenance.token'] as const;
  return (
    names.map((name) => tokens.of(name)).find(({ value }) => value !== '') ?? tokens.of('rest.console-token')
  );
}

/** The names by which the configuration calls this node. */
function hostNamesOf(config: Config): string[] {
  const { 'raft.node-id': id, 'raft.initial-members': members, 'raft.address': raft } = config;
  const addresses = [config['rest.address'], config['api.advertise-address'], members[id] ?? raft];
  const hosts = addresses.flatMap((address) => parseListenAddress(address)?.host ?? []);
  const named = config['rest.host-names'].split(',').map((name) => name.trim());
  return [...named.filter((name) => name !== ''), ...hosts];
}
