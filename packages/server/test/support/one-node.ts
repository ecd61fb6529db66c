import { regatta } from '@coxswain/protocol';
import type { Log } from '@coxswain/runtime';
import { TemporaryDirectory, until } from '@coxswain/testing';
import { loadConfig } from '../../src/config/config.js';
import type { Config } from '../../src/config/config-schema.js';
import { EventJournal } from '../../src/process/event-journal.js';
import { Server } from '../../src/server.js';
import { Rpc } from './rpc.js';

/** Options of a node that shares its machine with other tests: free ports, little disk, short elections. */
const testFlags = {
  'api.address': 'http://127.0.0.1:0',
  'rest.address': 'http://127.0.0.1:0',
  'replication.enabled': 'false',
  'raft.address': '127.0.0.1:0',
  'raft.wal-segment-size': '16MiB',
  'storage.write-buffer-size': '4MiB',
  'raft.rtt': '10ms',
} as const;

/** A real node with real disk and real sockets, alone in its cluster. */
export class OneNode {
  readonly #temporary: TemporaryDirectory;
  readonly #config: Config;

  private constructor(
    readonly server: Server,
    temporary: TemporaryDirectory,
    config: Config,
  ) {
    this.#temporary = temporary;
    this.#config = config;
  }

  /** Starts a node and, unless told otherwise, waits until it is ready. */
  static async start(
    flags: Record<string, string> = {},
    {
      waitsUntilReady = true,
      role = 'leader',
      log = () => undefined,
    }: { waitsUntilReady?: boolean; role?: 'leader' | 'follower'; log?: Log } = {},
  ): Promise<OneNode> {
    const directory = new TemporaryDirectory();
    const { config } = loadConfig(
      {
        flags: { ...testFlags, 'data-dir': directory.path, ...flags },
        environment: {},
        configFile: '',
        readFile: () => undefined,
      },
      role,
    );
    const server = new Server(
      config,
      new EventJournal({ write: ({ kind, fields }) => log(kind, fields) }),
      (error) => {
        throw error;
      },
      role,
    );
    await server.start();
    const node = new OneNode(server, directory, config);
    if (waitsUntilReady) await node.untilReady();
    return node;
  }

  /** Where it keeps its data, unless its flags say where. */
  get directory(): string {
    return this.#temporary.path;
  }

  /** The API listener's `host:port`. */
  get target(): string {
    return this.server.apiUrl.replace(/^https?:\/\//, '').replace(/^unixs?:\/\//, 'unix:');
  }

  /** Asks the admin API. */
  async get(path: string): Promise<{ status: number; text: string }> {
    const response = await fetch(this.server.restUrl + path);
    return { status: response.status, text: await response.text() };
  }

  async untilReady(): Promise<void> {
    await until('the node is ready', async () => (await this.get('/readyz')).status === 200);
  }

  /** As SIGHUP does when its file has another token. */
  replaceToken(name: 'maintenance.token' | 'clone.token', token: string): void {
    this.server.replaceTokens({ ...this.#config, [name]: token });
  }

  rpc(): Rpc {
    return new Rpc(this.target);
  }

  /** Makes a table and gives its id. */
  async createTable(rpc: Rpc, name: string): Promise<bigint> {
    const { id } = await rpc.call(regatta.TablesService.create, { name });
    return BigInt(id);
  }

  async stop(): Promise<void> {
    await this.server.stop();
    this.#temporary.remove();
  }
}
