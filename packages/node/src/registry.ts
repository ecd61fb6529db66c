import { mvcc } from '@coxswain/protocol';
import type { NodeId } from '@coxswain/raft';
import type { Table } from '@coxswain/table';
import { Packr } from 'msgpackr';
import type { MemberInfo, TableInfo } from './api.js';
import { type Genesis, genesisText } from './identity.js';

/** The meta group's shard id (architecture.md §3). */
export const META_SHARD = 1000;
const FIRST_TABLE_SHARD = 10_001;

/**
 * A shard that takes over a table's name starts its log this far above the last index that the name ever
 * had, so that no old cursor and no old compare can match by accident (T1).
 */
const BASE_STEP = 1_000_000_000;

/**
 * The meta group is a table like any other, with a reserved id: its commands are transactions with version
 * and revision compares, so that it shares apply, snapshots, checkpoints and hashes with every table.
 *
 * | key | value (msgpack) |
 * | --- | --- |
 * | genesis | the text whose hash is the cluster's id (T4) |
 * | next-shard | the next shard id; ids are never reused |
 * | tables/NAME | TableRecord |
 * | names/NAME | RetiredName: what a deleted table leaves behind (T1) |
 * | members/ID | MemberInfo, as the member last told it |
 */
const GENESIS_KEY = Buffer.from('genesis');
const NEXT_SHARD_KEY = Buffer.from('next-shard');
const TABLES_PREFIX = 'tables/';
const NAMES_PREFIX = 'names/';
const MEMBERS_PREFIX = 'members/';

const packr = new Packr({ useRecords: false });

interface TableRecord {
  readonly shardId: number;
  /** The log of the shard starts behind this index. */
  readonly base: number;
  readonly config: Record<string, unknown> | null;
}

interface RetiredName {
  readonly lastIndex: number;
}

export interface RegisteredTable extends TableInfo {
  readonly base: number;
  /** The revision in which the record was written: compared when it is deleted. */
  readonly modRevision: number;
}

/** What the meta group says, as of its applied index. Reloaded after every apply. */
export class Registry {
  #tables = new Map<string, RegisteredTable>();
  #members = new Map<NodeId, MemberInfo>();
  #nextShard = FIRST_TABLE_SHARD;
  #nextShardVersion = 0;
  #genesis: string | undefined;
  #retired = new Map<string, number>();

  async reload(meta: Table): Promise<void> {
    const tables = new Map<string, RegisteredTable>();
    const members = new Map<NodeId, MemberInfo>();
    const retired = new Map<string, number>();
    const view = meta.view();
    try {
      for await (const page of view.pages(everything)) {
        for (const record of page.records) {
          const key = record.key.toString('utf8');
          if (key.startsWith(TABLES_PREFIX)) {
            const name = key.slice(TABLES_PREFIX.length);
            const { shardId, base, config } = packr.unpack(record.value) as TableRecord;
            tables.set(name, {
              name,
              shardId,
              base,
              config: config ?? undefined,
              modRevision: record.modRevision,
            });
          } else if (key.startsWith(NAMES_PREFIX)) {
            retired.set(
              key.slice(NAMES_PREFIX.length),
              (packr.unpack(record.value) as RetiredName).lastIndex,
            );
          } else if (key.startsWith(MEMBERS_PREFIX)) {
            const member = packr.unpack(record.value) as MemberInfo;
            members.set(member.id, member);
          } else if (record.key.equals(NEXT_SHARD_KEY)) {
            this.#nextShard = packr.unpack(record.value) as number;
            this.#nextShardVersion = record.version;
          } else if (record.key.equals(GENESIS_KEY)) {
            this.#genesis = packr.unpack(record.value) as string;
          }
        }
      }
    } finally {
      view.close();
    }
    this.#tables = tables;
    this.#members = members;
    this.#retired = retired;
  }

  get hasGenesis(): boolean {
    return this.#genesis !== undefined;
  }

  table(name: string): RegisteredTable | undefined {
    return this.#tables.get(name);
  }

  /** Sorted by name in byte order, as the wire wants it. */
  tables(): RegisteredTable[] {
    return [...this.#tables.values()].sort((a, b) =>
      Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)),
    );
  }

  get tableCount(): number {
    return this.#tables.size;
  }

  members(): MemberInfo[] {
    return [...this.#members.values()].sort((a, b) => a.id - b.id);
  }

  member(id: NodeId): MemberInfo | undefined {
    return this.#members.get(id);
  }

  /** The meta group's first command: the genesis and the tables that exist from the start. */
  writeGenesis(genesis: Genesis, tableNames: readonly string[]): mvcc.Command {
    const success = [put(GENESIS_KEY, genesisText(genesis))];
    let shardId = FIRST_TABLE_SHARD;
    for (const name of tableNames) {
      const record: TableRecord = { shardId: shardId++, base: 0, config: null };
      success.push(put(tableKey(name), record));
    }
    success.push(put(NEXT_SHARD_KEY, shardId));
    return transaction([versionIs(GENESIS_KEY, 0)], success);
  }

  /**
   * Registers a table under the next shard id. Has no effect when the name is taken, or when another
   * creation took the id first: then the caller reads again and tries again.
   */
  createTable(name: string, config: Record<string, unknown> | undefined): mvcc.Command {
    const lastIndex = this.#retired.get(name);
    const record: TableRecord = {
      shardId: this.#nextShard,
      base: lastIndex === undefined ? 0 : lastIndex + BASE_STEP,
      config: config ?? null,
    };
    return transaction(
      [versionIs(tableKey(name), 0), versionIs(NEXT_SHARD_KEY, this.#nextShardVersion)],
      [put(tableKey(name), record), put(NEXT_SHARD_KEY, this.#nextShard + 1)],
    );
  }

  /** Removes exactly the registration that was read, and keeps the name's last index (T1). */
  deleteTable(table: RegisteredTable, lastIndex: number): mvcc.Command {
    const retired: RetiredName = { lastIndex };
    const key = tableKey(table.name);
    return transaction(
      [
        {
          result: mvcc.Compare_CompareResult.EQUAL,
          target: mvcc.Compare_CompareTarget.MOD,
          key,
          targetUnion: { $case: 'modRevision', value: BigInt(table.modRevision) },
          rangeEnd: NOTHING,
        },
      ],
      [
        {
          request: {
            $case: 'requestDeleteRange',
            value: mvcc.RequestOp_DeleteRange.fromPartial({ key }),
          },
        },
        put(Buffer.from(NAMES_PREFIX + table.name), retired),
      ],
    );
  }

  writeMember(member: MemberInfo): mvcc.Command {
    return transaction([], [put(Buffer.from(`${MEMBERS_PREFIX}${member.id}`), member)]);
  }
}

const NOTHING = Buffer.alloc(0);

const everything = {
  key: Buffer.from([0]),
  rangeEnd: Buffer.from([0]),
  limit: 0,
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
  maxBytes: 1024 * 1024,
};

function tableKey(name: string): Buffer {
  return Buffer.from(TABLES_PREFIX + name);
}

function put(key: Buffer, value: unknown): mvcc.RequestOp {
  return {
    request: {
      $case: 'requestPut',
      value: mvcc.RequestOp_Put.fromPartial({ key, value: Buffer.from(packr.pack(value)) }),
    },
  };
}

function versionIs(key: Buffer, version: number): mvcc.Compare {
  return {
    result: mvcc.Compare_CompareResult.EQUAL,
    target: mvcc.Compare_CompareTarget.VERSION,
    key,
    targetUnion: { $case: 'version', value: BigInt(version) },
    rangeEnd: NOTHING,
  };
}

function transaction(compare: mvcc.Compare[], success: mvcc.RequestOp[]): mvcc.Command {
  return mvcc.Command.fromPartial({
    type: mvcc.Command_CommandType.TXN,
    txn: { compare, success, failure: [] },
  });
}
