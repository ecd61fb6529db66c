import { type Node, systemClock } from '@coxswain/node';
import { formatListenAddress, type ListenAddress, parseListenAddress } from '../config/address.js';
import { configOptions } from '../config/config-schema.js';
import { listenerTls, noTls, plainAddress } from '../config/listeners.js';
import { serverEvents } from '../events.js';
import type { Method } from '../grpc/call.js';
import { GrpcListener, type GrpcListenerOptions } from '../grpc/grpc-listener.js';
import { reflect } from '../grpc/reflection.js';
import { during } from '../process/during.js';
import { StartError } from '../process/start-error.js';
import type { SnapshotHttp } from '../rest/snapshot-http.js';
import { wolfMethods } from '../services/wolf-service.js';
import type { Shared } from './shared.js';

/** The address of the replication listener of a promoted node that was given no replication.address. */
const defaultReplicationAddress = configOptions.find(({ name }) => name === 'replication.address')!
  .default as string;
/** The time in milliseconds within which calls under way may end when the node stops: the default deadline. */
const DRAIN_MS = 5_000;

type ListenerName = 'api' | 'replication' | 'wolf';

/** The gRPC listeners of a server. */
export class Listeners {
  readonly #shared: Shared;
  readonly #open = new Map<ListenerName, GrpcListener>();

  constructor(shared: Shared) {
    this.#shared = shared;
  }

  /** Returns the address of a listener that is open. */
  address(name: ListenerName): ListenAddress {
    return this.#open.get(name)!.address;
  }

  /** Opens the listener for clients. Rejects with StartError. */
  async openForClients(methods: readonly Method[]): Promise<void> {
    const { config } = this.#shared;
    await this.#listen(methods, {
      name: 'api',
      address: parseListenAddress(config['api.address'])!,
      tls: listenerTls(config, 'api'),
      connectionsMax: config['api.max-concurrent-connections'],
      streamsMax: config['api.max-concurrent-streams'],
    });
  }

  /**
   * Opens the listener for follower clusters. When no address was given, as by default on follower clusters, it is
   * opened when the cluster is promoted (R5). Rejects with StartError.
   */
  async openForFollowers(node: Node, methods: readonly Method[], snapshots: SnapshotHttp): Promise<void> {
    const { config, parts, fatal } = this.#shared;
    if (config['replication.address'] !== '') {
      await this.#listenForFollowers(methods, snapshots);
      return;
    }
    let opening: Promise<void> | undefined;
    const leave = node.cluster.onChange(() => {
      if (node.cluster.role !== 'leader' || parts.isStopping) return;
      leave();
      opening = this.#listenForFollowers(methods, snapshots).catch(fatal);
    });
    // The server may stop while the listener is being opened. It is a part only once it is open, so the stop waits.
    parts.add('listener', {
      stop: async () => {
        leave();
        await opening;
      },
    });
  }

  /**
   * Opens the replication listener. Nobody replicates from a follower cluster until it is promoted, so that a
   * port which is taken only causes a warning there.
   */
  async #listenForFollowers(methods: readonly Method[], snapshots: SnapshotHttp): Promise<void> {
    const { config, role, log } = this.#shared;
    try {
      await this.#listen(methods, {
        name: 'replication',
        address: parseListenAddress(config['replication.address'] || defaultReplicationAddress)!,
        tls: listenerTls(config, 'replication'),
        connectionsMax: 0,
        streamsMax: 0,
        http1: snapshots,
      });
    } catch (error) {
      if (role !== 'follower' || !(error instanceof StartError)) throw error;
      log(serverEvents.listenerNotOpened, { reason: error.message });
    }
  }

  /**
   * Opens the listener for wolf.raft, when one is configured. The seed has no TLS; it has a listener of its own, so
   * that clients of the API do not reach it. Rejects with StartError.
   */
  async openForWolf(node: Node): Promise<void> {
    const { config } = this.#shared;
    if (config['wolf.address'] === '') return;
    const address = plainAddress(config, 'wolf.address');
    await this.#listen(wolfMethods(node.wolf), {
      name: 'wolf',
      address,
      tls: noTls,
      connectionsMax: 0,
      streamsMax: 0,
    });
  }

  async #listen(
    methods: readonly Method[],
    options: Pick<GrpcListenerOptions, 'address' | 'tls' | 'connectionsMax' | 'streamsMax' | 'http1'> & {
      readonly name: ListenerName;
    },
  ): Promise<void> {
    const { parts, certificates, failedHandshakes, memory, metrics, tracing, log } = this.#shared;
    const { config } = this.#shared;
    const { name, address } = options;
    const listener = new GrpcListener(
      { ...options, memory, clock: systemClock, metrics, failedHandshakes, tracer: tracing?.tracer, log },
      [...methods, ...reflect(methods)],
    );
    const what =
      name === 'wolf'
        ? `the wolf.raft listener at ${config['wolf.address']}`
        : `the ${name} listener at ${formatListenAddress(address)}`;
    await during(`open ${what}`, () => listener.listen());
    certificates.add(listener.certificates);
    this.#open.set(name, listener);
    parts.add('listener', { stop: () => listener.close(DRAIN_MS) });
  }
}
