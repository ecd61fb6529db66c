import type {
  ClusterRole,
  Header,
  LedTable,
  MemberState,
  NodeParts,
  NodeStatus,
  ReplicatedCommand,
  ShardLoad,
  TableInfo,
  TableLog,
} from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { type ApplyResult, CommandKind } from '@coxswain/table';

export interface Applied {
  readonly cursor: number;
  readonly indices: readonly number[];
}

const NO_EFFECT: Pick<ApplyResult, 'responses' | 'sealedBy' | 'succeeded'> = {
  responses: [],
  sealedBy: undefined,
  succeeded: true,
};

/** The part of a node that replication sees, kept in memory: cursors are compared as in a table (R1). */
export class FakeNode {
  role: ClusterRole | undefined = 'follower';
  leadsMeta = true;
  leaderClusterId: string | undefined = 'L';
  clusterId = 'F';
  led: LedTable[] = [];
  readonly cursors = new Map<number, number>();
  readonly applied: Applied[] = [];
  readonly tables = new Map<string, number>();
  readonly created: string[] = [];
  readonly quarantined: string[] = [];
  readonly resets: (string | undefined)[] = [];
  readonly stopped: [name: string, reason: string][] = [];
  readonly loads: FakeLoad[] = [];
  readonly answerers = new Map<string, (question: Buffer) => Buffer>();
  /** The other members of the cluster, by id. */
  readonly members = new Map<number, FakeNode>();
  nodeId = 1;
  /** What an operator wants of this node. */
  state: MemberState = 'online';
  isLogPaused = false;
  /** Called before each proposal is applied. */
  beforeApply: (cursor: number) => Promise<void> | undefined = () => undefined;
  beforeRevision: () => Promise<void> = () => Promise.resolve();
  /** The log of the table's own group: what was replicated, and when. */
  readonly log: { readonly timeMs: number; readonly command: Buffer }[] = [];
  wallMs: () => number = () => 1_000;
  readonly #listeners = new Set<() => void>();

  /** This fake as the objects that a node hands out. */
  readonly parts: NodeParts = partsOf(this);

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  changed(): void {
    for (const listener of this.#listeners) listener();
  }

  memberState(): MemberState {
    return this.state;
  }

  get isReplicationPaused(): boolean {
    return [this, ...this.members.values()].some(({ state }) => state === 'pausing' || state === 'paused');
  }

  ledTables(): LedTable[] {
    return this.led;
  }

  cursor(shardId: number): number | undefined {
    return this.cursors.get(shardId);
  }

  async replicate(
    shardId: number,
    { cursor, command }: { cursor: number; command: Buffer },
  ): Promise<ApplyResult> {
    await this.beforeApply(cursor);
    const hasStaleCursor = this.cursors.get(shardId) !== cursor;
    const decoded = mvcc.Command.decode(command);
    if (!hasStaleCursor) {
      const inner = decoded.sequence.length > 0 ? decoded.sequence : [decoded];
      this.applied.push({ cursor, indices: inner.map(({ leaderIndex }) => Number(leaderIndex)) });
      this.cursors.set(shardId, Number(decoded.leaderIndex));
      this.log.push({ timeMs: this.wallMs(), command });
    }
    return { index: 1, revision: this.cursors.get(shardId)!, hasStaleCursor, ...NO_EFFECT };
  }

  openLog(): Promise<TableLog> {
    const entries = this.log.map((entry, at) => ({
      ...entry,
      index: at + 1,
      term: 1,
      kind: CommandKind.Command,
    }));
    const log: Partial<TableLog> = {
      firstIndex: 1,
      appliedIndex: entries.length,
      entries: (from) => entries.slice(from - 1, from),
    };
    return Promise.resolve(log as TableLog);
  }

  listTables(): Promise<TableInfo[]> {
    return Promise.resolve([...this.tables].map(([name, shardId]) => ({ name, shardId, config: undefined })));
  }

  bindLeaderCluster(id: string): Promise<string> {
    this.leaderClusterId ??= id;
    return Promise.resolve(this.leaderClusterId);
  }

  createReplicated(name: string): Promise<void> {
    this.created.push(name);
    this.tables.set(name, 10_001 + this.tables.size);
    return Promise.resolve();
  }

  quarantine(name: string, shardId: number): Promise<void> {
    this.quarantined.push(`${shardId}/${name}`);
    this.tables.delete(name);
    return Promise.resolve();
  }

  requestReset(name: string | undefined): Promise<void> {
    this.resets.push(name);
    return Promise.resolve();
  }

  stopReplication(name: string, reason: string): Promise<void> {
    this.stopped.push([name, reason]);
    return Promise.resolve();
  }

  beginLoad(name: string): Promise<ShardLoad> {
    const load = new FakeLoad(name);
    this.loads.push(load);
    return Promise.resolve(load);
  }

  answerMembers(topic: string, answerer: (question: Buffer) => Buffer): void {
    this.answerers.set(topic, answerer);
  }

  askMembers(topic: string): Promise<ReadonlyMap<number, Buffer>> {
    const answers = [...this.members].map(([id, { answerers }]) => {
      const answer = answerers.get(topic)?.(Buffer.alloc(0));
      return [id, answer ?? Buffer.alloc(0)] as const;
    });
    return Promise.resolve(new Map(answers));
  }

  async whenRevision() {
    await this.beforeRevision();
    return { shardId: 1, replicaId: 1, revision: 1, raftTerm: 1, raftLeaderId: 1 };
  }

  status(): NodeStatus {
    const tables = [...this.tables].map(([name, shardId]) => ({ name, shardId, leaderIndex: 0 }));
    const members = [{ id: this.nodeId, name: `node-${this.nodeId}`, restAddress: 'here:1' }];
    return { nodeId: this.nodeId, clusterId: this.clusterId, tables, members } as unknown as NodeStatus;
  }
}

function partsOf(fake: FakeNode): NodeParts {
  const parts = {
    cluster: {
      get nodeId() {
        return fake.nodeId;
      },
      get role() {
        return fake.role;
      },
      get id() {
        return fake.clusterId;
      },
      get leaderClusterId() {
        return fake.leaderClusterId;
      },
      get leadsMeta() {
        return fake.leadsMeta;
      },
      onChange: (listener: () => void) => fake.onChange(listener),
      answerMembers: (topic: string, answerer: (question: Buffer) => Buffer) =>
        fake.answerMembers(topic, answerer),
      askMembers: (topic: string) => fake.askMembers(topic),
    },
    tables: { list: () => fake.listTables() },
    logs: {
      open: () => fake.openLog(),
      led: () => fake.ledTables(),
      whenRevision: () => fake.whenRevision(),
    },
    follower: {
      cursor: (shardId: number) => fake.cursor(shardId),
      replicate: (shardId: number, command: ReplicatedCommand) => fake.replicate(shardId, command),
      bindLeaderCluster: (id: string) => fake.bindLeaderCluster(id),
      createTable: (name: string) => fake.createReplicated(name),
      quarantine: (name: string, shardId: number) => fake.quarantine(name, shardId),
      requestReset: (name: string | undefined) => fake.requestReset(name),
      stopReplication: (name: string, reason: string) => fake.stopReplication(name, reason),
      beginLoad: (name: string) => fake.beginLoad(name),
    },
    members: {
      state: () => fake.memberState(),
      get isLogPaused() {
        return fake.isLogPaused;
      },
      get isReplicationPaused() {
        return fake.isReplicationPaused;
      },
    },
    reports: { status: () => fake.status() },
  };
  return parts as unknown as NodeParts;
}

/** A shard that a test fills. */
export class FakeLoad implements ShardLoad {
  readonly shardId = 20_000;
  readonly keys: string[] = [];
  end: { leaderIndex: number; keyCount: number; hasUnstamped: boolean } | undefined;
  isSwitched = false;
  isAbandoned = false;

  constructor(readonly name: string) {}

  load(parts: readonly Buffer[]): Promise<void> {
    const records = Buffer.concat(parts);
    for (let at = 0; at < records.length; ) {
      const end = at + 8 + Number(records.readBigUInt64LE(at));
      this.keys.push(mvcc.Command.decode(records.subarray(at + 8, end)).kv!.key.toString());
      at = end;
    }
    return Promise.resolve();
  }

  finish(end: { leaderIndex: number; keyCount: number; hasUnstamped: boolean }): Promise<void> {
    this.end = end;
    return Promise.resolve();
  }

  replay(): Promise<void> {
    return Promise.reject(new Error('a follower cluster runs no commands again'));
  }

  header(): Header {
    return { shardId: this.shardId, replicaId: 1, revision: 1, raftTerm: 1, raftLeaderId: 1 };
  }

  get keyCount(): number {
    return this.keys.length;
  }

  switch(): Promise<boolean> {
    this.isSwitched = true;
    return Promise.resolve(true);
  }

  abandon(): Promise<void> {
    this.isAbandoned = true;
    return Promise.resolve();
  }
}
