import { createHash } from 'node:crypto';
import type { NodeId } from '@coxswain/raft';
import type { Random } from '@coxswain/runtime';
import type { SmallFiles } from '../api/environment.js';
import type { WolfOptions } from '../api/options.js';

/** The version of the data directory's layout. A node refuses a newer one, and reads older ones. */
export const DATA_FORMAT = 1;

const FILE_NAME = 'node.json';

/**
 * The members that formed the cluster, with their incarnations. Its hash is the cluster's id. So two nodes with the
 * same cluster id agree on every member's incarnation, and a wiped disk that comes back under an old node id is
 * recognized (T4).
 */
export interface Genesis {
  readonly members: readonly { readonly id: NodeId; readonly incarnation: string }[];
}

/** Gives the canonical text of a genesis, which is hashed, stored and sent to peers. */
export function genesisText(genesis: Genesis): string {
  const members = [...genesis.members]
    .sort((a, b) => a.id - b.id)
    .map(({ id, incarnation }) => ({ id, incarnation }));
  return JSON.stringify({ members });
}

/** Reads the text of a genesis that a peer has sent. Returns undefined when it is no canonical genesis. */
export function parseGenesis(text: string): Genesis | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const members = (value as { members?: unknown } | null)?.members;
  if (!Array.isArray(members) || members.length === 0) return undefined;
  const genesis = {
    members: members.map((member) => ({ id: member?.id, incarnation: member?.incarnation })),
  };
  const isMember = ({ id, incarnation }: { id: unknown; incarnation: unknown }): boolean =>
    Number.isInteger(id) && (id as number) > 0 && /^[0-9a-f]{16}$/.test(String(incarnation));
  if (!genesis.members.every(isMember)) return undefined;
  const isEveryIdOnce = new Set(genesis.members.map(({ id }) => id)).size === members.length;
  // Only the canonical text has the hash that the others know the cluster by.
  return isEveryIdOnce && genesisText(genesis) === text ? genesis : undefined;
}

/** Gives the id of the cluster that a genesis forms, 32 hex digits. */
export function clusterIdOf(genesis: Genesis): string {
  return createHash('sha256').update(genesisText(genesis)).digest('hex').slice(0, 32);
}

/**
 * The error of a data directory that this node must not use as it is; its text says what to do. The code is `putBack`
 * when the directory holds an earlier state than other members have seen of this node (T4), and `unusable` otherwise.
 */
export class DataDirectoryError extends Error {
  override readonly name = 'DataDirectoryError';

  constructor(
    message: string,
    readonly code: 'putBack' | 'unusable' = 'unusable',
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/**
 * Says, for an error's text, what to do when a part of the data directory is missing: a member without it must not vote
 * (T4).
 */
export const bringBack = (what: string): string =>
  `bring ${what} back as it was last; where that is lost for good, so is this member's disk: keep the node stopped, and go on as docs/backup-and-recovery.md says of a lost disk`;

/**
 * How far a node has joined its cluster. `new`: there is no cluster yet. `joining`: the genesis is known, but the first
 * groups may be missing. `member`: the node is complete.
 */
type Phase = 'new' | 'joining' | 'member';

interface NodeFile {
  readonly format: number;
  readonly nodeId: NodeId;
  readonly incarnation: string;
  readonly phase: Phase;
  readonly clusterId: string | null;
  readonly genesis: Genesis | null;
  /** The id of this directory's member of its wolf.raft group; missing when it never was one. */
  readonly wolfId?: number;
  /** The table of that group; also missing in directories of versions that did not keep it. */
  readonly wolfTable?: string;
  /** The number of starts before those in `starts`; missing in directories of versions that did not count. */
  readonly earlierStarts?: number;
  /** The last starts, oldest first. */
  readonly starts?: readonly Start[];
}

/** One start of a node: its boot, and the position up to which its log was durable when the start began. */
interface Start {
  readonly boot: string;
  readonly from: number;
}

/**
 * The number of starts that are kept. A member that was away for more of them cannot be answered, and takes the node's
 * word.
 */
const STARTS_MAX = 1000;

/** The identity of a data directory, kept in node.json: it makes the directory this node's and no other's. */
export class Identity {
  readonly #files: SmallFiles;
  #file: NodeFile;

  private constructor(files: SmallFiles, file: NodeFile) {
    this.#files = files;
    this.#file = file;
  }

  /**
   * Reads node.json, or writes the first one. Throws DataDirectoryError when the directory is another node's, newer or
   * damaged.
   */
  static async load(files: SmallFiles, nodeId: NodeId, random: Random): Promise<Identity> {
    const content = await files.read(FILE_NAME);
    if (content === undefined) {
      const file: NodeFile = {
        format: DATA_FORMAT,
        nodeId,
        incarnation: random.bytes(8).toString('hex'),
        phase: 'new',
        clusterId: null,
        genesis: null,
      };
      const identity = new Identity(files, file);
      // Durable before anyone hears of the incarnation: a crash must not make the same disk look wiped.
      await identity.#store(file);
      return identity;
    }
    const file = parse(content);
    if (file.format > DATA_FORMAT) {
      throw new DataDirectoryError(
        `the data directory has format ${file.format}, this version reads up to ${DATA_FORMAT}: start it with the version that wrote it, or a newer one`,
      );
    }
    if (file.nodeId !== nodeId) {
      throw new DataDirectoryError(
        `the data directory belongs to node ${file.nodeId}, not to node ${nodeId}: check the node id and the data directory`,
      );
    }
    return new Identity(files, file);
  }

  get nodeId(): NodeId {
    return this.#file.nodeId;
  }

  get incarnation(): string {
    return this.#file.incarnation;
  }

  get phase(): Phase {
    return this.#file.phase;
  }

  get genesis(): Genesis | undefined {
    return this.#file.genesis ?? undefined;
  }

  get clusterId(): string | undefined {
    return this.#file.clusterId ?? undefined;
  }

  incarnationOf(member: NodeId): string | undefined {
    return this.#file.genesis?.members.find(({ id }) => id === member)?.incarnation;
  }

  /** Binds this node to a cluster, for good. Throws unless the genesis holds this node's incarnation. */
  async join(genesis: Genesis): Promise<void> {
    if (this.#file.phase !== 'new') throw new Error('this node already belongs to a cluster');
    const self = genesis.members.find(({ id }) => id === this.nodeId);
    if (self?.incarnation !== this.incarnation) {
      throw new Error('a node joins only a cluster whose genesis holds its incarnation');
    }
    await this.#store({ ...this.#file, phase: 'joining', clusterId: clusterIdOf(genesis), genesis });
  }

  /**
   * Compares the options of this start with the wolf.raft group that the directory holds. Throws DataDirectoryError
   * when the directory is another member's of the group: its votes and acknowledgements count as that member's alone
   * (T4). Also throws when the table has another name, so that nobody looks for it in vain, unless the group was never
   * formed and holds nothing; and when no table is given at all, since the other members go on counting on this one.
   */
  checkWolf(given: Pick<WolfOptions, 'id' | 'table'> | undefined, isFormed: boolean): void {
    const { wolfId, wolfTable } = this.#file;
    if (given === undefined) {
      const table = wolfTable === undefined ? 'a table' : `table "${wolfTable}"`;
      throw new DataDirectoryError(
        `the data directory holds ${table}, which is replicated over wolf.raft: give wolf.table, wolf.members and wolf.address as before`,
      );
    }
    if (wolfId !== undefined && wolfId !== given.id) {
      throw new DataDirectoryError(
        `the data directory belongs to member ${wolfId} of its wolf.raft group, not to member ${given.id}: check wolf.members, wolf.address and the data directory`,
      );
    }
    if (isFormed && wolfTable !== undefined && wolfTable !== given.table) {
      throw new DataDirectoryError(
        `the data directory holds table "${wolfTable}" of a wolf.raft group, but wolf.table is "${given.table}": set wolf.table to "${wolfTable}", since such a table keeps its name, or give another data directory`,
      );
    }
  }

  /** The number of this start, counted from 1; 0 before the first `beginStart`. */
  get startNumber(): number {
    return (this.#file.earlierStarts ?? 0) + (this.#file.starts?.length ?? 0);
  }

  /** The boot of this start, 16 hex digits that no other start of any node has. */
  get boot(): string {
    return this.#file.starts?.at(-1)?.boot ?? '';
  }

  /**
   * Counts a start, durably, before any peer hears of it (T4). `start.from` is the position up to which the log is
   * durable now; `wolf` is this node's membership in a wolf.raft group, if it has one.
   */
  async beginStart(start: Start, wolf?: Pick<WolfOptions, 'id' | 'table'>): Promise<void> {
    const { earlierStarts = 0, starts = [] } = this.#file;
    const kept = [...starts, start].slice(-STARTS_MAX);
    const dropped = starts.length + 1 - kept.length;
    await this.#store({
      ...this.#file,
      earlierStarts: earlierStarts + dropped,
      starts: kept,
      ...(wolf !== undefined && { wolfId: wolf.id, wolfTable: wolf.table }),
    });
  }

  /**
   * Says what a member knows about this node that this directory does not hold; undefined when it holds everything. A
   * start that is not among the directory's own, or whose log went further than the next start found it, happened to a
   * newer state of the directory (T4).
   */
  lacks({ number, boot, position }: { number: number; boot: string; position: number }): string | undefined {
    const { earlierStarts = 0, starts = [] } = this.#file;
    if (number > this.startNumber) return `its start ${number}, and this is start ${this.startNumber}`;
    // That start was so long ago that it is no longer known here.
    if (number <= earlierStarts) return undefined;
    const start = starts[number - earlierStarts - 1];
    if (start?.boot !== boot) return `another start ${number} of it`;
    const next = starts[number - earlierStarts];
    if (next === undefined || next.from >= position) return undefined;
    return `that its log was longer in its start ${number} than it is now`;
  }

  /** Records that the meta group exists on this disk: from now on a missing one means a damaged directory. */
  async complete(): Promise<void> {
    await this.#store({ ...this.#file, phase: 'member' });
  }

  async #store(file: NodeFile): Promise<void> {
    await this.#files.replace(FILE_NAME, Buffer.from(`${JSON.stringify(file, null, 2)}\n`));
    this.#file = file;
  }
}

function parse(content: Buffer): NodeFile {
  try {
    const file = JSON.parse(content.toString('utf8')) as NodeFile;
    if (Number.isInteger(file.format) && Number.isInteger(file.nodeId)) return file;
  } catch {
    // Falls through to the one answer for every kind of damage.
  }
  throw new DataDirectoryError(`node.json is damaged: ${bringBack('it')}`);
}
