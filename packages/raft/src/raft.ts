import type {
  HardState,
  LogReader,
  Membership,
  Message,
  NodeId,
  ReadContext,
  Ready,
  StorageAppend,
} from './types.js';

export interface RaftConfig {
  readonly id: NodeId;
  /** Ticks without contact before a follower campaigns; each timeout is drawn from [n, 2n). */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly log: LogReader;
  readonly hardState: HardState;
  readonly membership: Membership;
  /** The state machine's applied index at start. */
  readonly applied: number;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  /** The most bytes of entry data in one append. One entry always fits. */
  readonly maxMessageBytes: number;
  /** Appends in flight to one follower, by count and by bytes of entry data. */
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  /** Proposals are refused while uncommitted data is above this; one proposal is always let in. 0: no limit. */
  readonly maxUncommittedBytes: number;
  /** The most bytes handed out in one `Ready.committed`. One entry always fits. */
  readonly maxCommittedBytesPerReady: number;
  /** Uniform in [0, 1). The only source of chance. */
  readonly random: () => number;
}

export type ProposeResult = 'appended' | 'notLeader' | 'tooManyUncommitted';

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

/** SIGNATURES ONLY, to be implemented. */
export declare class Raft {
  constructor(config: RaftConfig);
  readonly id: NodeId;
  readonly role: Role;
  readonly term: number;
  /** The known leader, or NO_NODE. */
  readonly leader: NodeId;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly membership: Membership;
  /** True for a leader that has committed an entry of its own term (P2). */
  readonly hasCommittedInTerm: boolean;
  /** A leader whose followers all have everything, with nothing pending: its host may let the group go quiet. */
  readonly isIdle: boolean;
  /** While false this replica never campaigns (its state machine is being rebuilt), but votes and appends. */
  canCampaign: boolean;
  tick(): void;
  /** Starts an election now, with a pre-vote when configured. */
  campaign(): void;
  step(message: Message): void;
  /** Appends one entry per element, all or none. */
  propose(data: readonly Buffer[]): ProposeResult;
  /** Starts a ReadIndex round; answered in `Ready.reads`, on a follower through its leader. False when no leader is known. */
  readIndex(context: ReadContext): boolean;
  /** A follower forgets its leader, so that it grants pre-votes before its timeout (etcd's forget_leader). */
  forgetLeader(): void;
  reportUnreachable(peer: NodeId): void;
  reportSnapshot(peer: NodeId, succeeded: boolean): void;
  hasReady(): boolean;
  ready(): Ready;
  /** The append is durable. */
  appended(append: StorageAppend): void;
  /** Every committed entry up to `index` is applied. */
  applied(index: number): void;
  hardState(): HardState;
}
