/** Identifies a node in its cluster: a positive integer, the same in every group. */
export type NodeId = number;

/** The id of no node: for an unknown leader, or when no vote was given. */
export const NO_NODE: NodeId = 0;

export enum EntryType {
  /** Appended by a new leader to commit the entries of earlier terms (§5.4.2, §8). Carries no data. */
  Empty = 0,
  /** Application data. */
  Normal = 1,
}

export interface Entry {
  readonly index: number;
  readonly term: number;
  readonly type: EntryType;
  /** Data that Raft does not interpret. It never changes after the entry was made. */
  readonly data: Buffer;
}

/**
 * The state that must be durable before any message that depends on it leaves the node (§5.2, D1). `commit` is a hint.
 */
export interface HardState {
  readonly term: number;
  readonly vote: NodeId;
  readonly commit: number;
}

/** The members of a group. Lists are sorted ascending and disjoint. */
export interface Membership {
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
}

/** Stands for the log up to and including `index` (§7). */
export interface SnapshotMetadata {
  readonly index: number;
  readonly term: number;
  readonly membership: Membership;
}

/**
 * Identifies a ReadIndex round. The host makes it unique over restarts (P2: it contains the boot nonce), so that an
 * answer to a question from before a restart is never mistaken for one to a later question.
 */
export type ReadContext = string;

interface Addressed {
  readonly from: NodeId;
  readonly to: NodeId;
  /** The sender's term; for pre-votes the term that the sender would campaign in (thesis 9.6). */
  readonly term: number;
}

export interface PreVoteRequest extends Addressed {
  readonly type: 'preVote';
  readonly lastIndex: number;
  readonly lastTerm: number;
}
export interface PreVoteResponse extends Addressed {
  readonly type: 'preVoteResponse';
  readonly granted: boolean;
}
export interface VoteRequest extends Addressed {
  readonly type: 'vote';
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** True when the leader asked for this election, so that voters listen although they still hear it (thesis 4.2.3). */
  readonly isTransfer: boolean;
}
export interface VoteResponse extends Addressed {
  readonly type: 'voteResponse';
  readonly granted: boolean;
}
export interface AppendRequest extends Addressed {
  readonly type: 'append';
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly entries: readonly Entry[];
  readonly commit: number;
  /**
   * False for an append that only brings a commit index to a follower in step, which does not answer when it accepts.
   * With an answer, half of the messages after a lone write would carry nothing else.
   */
  readonly isToAnswer: boolean;
}
export interface AppendResponse extends Addressed {
  readonly type: 'appendResponse';
  /** The last index known to match when accepted; the `prevIndex` that did not match when rejected. */
  readonly index: number;
  readonly rejected: boolean;
  /** The place where the leader may probe next when rejected (§5.3, the conflict optimisation); otherwise 0. */
  readonly hintIndex: number;
  readonly hintTerm: number;
}
export interface Heartbeat extends Addressed {
  readonly type: 'heartbeat';
  readonly commit: number;
  /** The newest ReadIndex round to confirm, or '' for none. */
  readonly context: ReadContext;
}
export interface HeartbeatResponse extends Addressed {
  readonly type: 'heartbeatResponse';
  /** The context of the heartbeat that this answers. */
  readonly context: ReadContext;
  /** The sender's commit index: a leader lets its group go quiet only when every member has learnt the last one. */
  readonly commit: number;
}
/**
 * From the leader's core, it asks the host to stream the state machine to `to` and to report the outcome with
 * `reportSnapshot`. To a follower's core, it says that the state has arrived complete and may be installed (D7).
 */
export interface InstallSnapshot extends Addressed {
  readonly type: 'installSnapshot';
  readonly snapshot: SnapshotMetadata;
}
export interface ReadIndexRequest extends Addressed {
  readonly type: 'readIndex';
  readonly context: ReadContext;
}
export interface ReadIndexResponse extends Addressed {
  readonly type: 'readIndexResponse';
  readonly context: ReadContext;
  readonly index: number;
}
/** The leader asks a voter that has its whole log to campaign at once: it hands its leadership over (thesis 3.10). */
export interface TimeoutNow extends Addressed {
  readonly type: 'timeoutNow';
}

export type Message =
  | PreVoteRequest
  | PreVoteResponse
  | VoteRequest
  | VoteResponse
  | AppendRequest
  | AppendResponse
  | Heartbeat
  | HeartbeatResponse
  | InstallSnapshot
  | ReadIndexRequest
  | ReadIndexResponse
  | TimeoutNow;

/**
 * The durable log, as the core reads it. It is synchronous: an implementation answers from memory or from pages that
 * the operating system most likely holds. It contains the entries that the host was asked to append (`StorageAppend`),
 * from the moment at which the host submitted them; the core itself keeps those that are not acknowledged yet.
 */
export interface LogReader {
  /** Returns the first index that `entries` can return: one past the snapshot or truncation point. */
  firstIndex(): number;
  /** Returns the last index, or `firstIndex() - 1` when the log is empty. */
  lastIndex(): number;
  /** Returns the term at `index`, for `firstIndex() - 1 <= index <= lastIndex()`; undefined elsewhere. */
  term(index: number): number | undefined;
  /** Returns entries in `[from, to)`: at least one, and as many as fit into `maxBytes` of data. */
  entries(from: number, to: number, maxBytes: number): Entry[];
  /**
   * Returns the snapshot that the host could send to a follower now; undefined when there is none yet, so that the core
   * asks again.
   */
  snapshot(): SnapshotMetadata | undefined;
}

/**
 * A write that the host must make durable, in the order in which the core hands these out, and then report to
 * `Raft.appended`. When `snapshot` is set, the log restarts after it. `entries[0].index` may be at or below the log's
 * last index: the entries then replace the suffix from there.
 */
export interface StorageAppend {
  readonly hardState: HardState | undefined;
  readonly entries: readonly Entry[];
  readonly snapshot: SnapshotMetadata | undefined;
  /**
   * Messages that may be sent only when all of this is durable (D1): acknowledgements, granted votes, and requests for
   * votes.
   */
  readonly responses: readonly Message[];
  /**
   * Identify the acknowledgement (the ABA race of asynchronous storage): the core's term when made, and the last entry.
   */
  readonly term: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
}

/** The answer to a ReadIndex round: the host may serve its reads once it has applied `index` (thesis 6.4). */
export interface ReadState {
  readonly context: ReadContext;
  readonly index: number;
}

/** The work that the host must do now. `Raft.ready()` returns it; every field may be empty. */
export interface Ready {
  /** Messages that may leave at once, before `append` is durable (thesis 10.2.1, DESIGN.md). */
  readonly messages: readonly Message[];
  readonly append: StorageAppend | undefined;
  /**
   * Entries that are committed, and durable here (D2). The host applies them in order, and then calls `Raft.applied`.
   */
  readonly committed: readonly Entry[];
  readonly reads: readonly ReadState[];
}
