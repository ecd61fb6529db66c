import { type Entry, EntryType, type Message, type NodeId } from '@coxswain/raft';
import type { CommandKind } from '@coxswain/table';
import type { GroupId } from '@coxswain/wal';

/**
 * The version of frames. A frame is the unit that nodes exchange: everything that one turn of one node has to say to
 * one peer, for all groups (ARCHITECTURE.md, "Turns"). It is a fixed header that proves who speaks (T4), followed by
 * messages until its end.
 *
 * Integers that may exceed 32 bits (terms, indices, group ids) are written as IEEE doubles: exact up to 2^53, and the
 * cheapest 8-byte number that JavaScript can read.
 */
const FRAME_VERSION = 4;
const HEADER_BYTES = 62;

/**
 * The soft limit of a frame's size, in bytes: a frame exceeds it by no more than its last message (P4: an entry may be
 * as large as a request).
 */
export const FRAME_BYTES_SOFT_MAX = 1024 * 1024;

/** The header of a frame: identifies the sender (T4), and carries what every frame has to report. */
export interface FrameHeader {
  /** The sender's cluster id, 32 hex digits; `NO_CLUSTER` while its cluster has not formed. */
  readonly clusterId: string;
  readonly from: NodeId;
  /** The incarnation of the sender's data directory, 16 hex digits. */
  readonly incarnation: string;
  /** The boot of the sender that speaks, 16 hex digits. */
  readonly boot: string;
  /**
   * The sender's applied index in the meta group. A deleted shard is dropped once every member has applied its deletion
   * (T2).
   */
  readonly metaApplied: number;
  /**
   * The position up to which the sender's write-ahead log is durable. It covers everything that the frame acknowledges
   * (T4).
   */
  readonly position: number;
  /** The sender's wall time, in milliseconds since 1970. */
  readonly timeMs: number;
  /** Whether the sender's start takes part, so that somebody may have counted what it said (T4). */
  readonly isAdmitted: boolean;
}

/** Stands for a missing cursor (R1). */
const NO_CURSOR = -1;

/** The cluster id of a node whose cluster has not formed. */
export const NO_CLUSTER = '0'.repeat(32);

/** Proposals on their way to the group's leader. They are valid only while it leads in exactly `term` (P1). */
export interface Forward {
  readonly type: 'forward';
  readonly group: GroupId;
  readonly term: number;
  /** Every sequence of this boot below this one is settled, and the leader may forget it. */
  readonly settledBelow: number;
  readonly proposals: readonly ForwardedProposal[];
}
interface ForwardedProposal {
  readonly sequence: number;
  readonly kind: CommandKind;
  readonly cursor: number | undefined;
  readonly command: Buffer;
}
/**
 * The traces to which forwarded proposals belong, sent just before them. Only nodes that trace send it: releases before
 * it do not know it, and a node hangs up on what it does not know.
 */
export interface Traces {
  readonly type: 'traces';
  readonly group: GroupId;
  readonly traces: readonly { readonly sequence: number; readonly traceparent: string }[];
}
/** The leader's refusal of forwarded proposals: these transmissions were not appended. */
export interface Refused {
  readonly type: 'refused';
  readonly group: GroupId;
  readonly term: number;
  readonly isBusy: boolean;
  readonly sequences: readonly number[];
}
/** Lets the followers of an idle group stop counting ticks; sent by its leader. */
export interface Quiesce {
  readonly type: 'quiesce';
  readonly group: GroupId;
  readonly term: number;
  readonly commit: number;
}
/** A replica whose state is damaged asks its leader for a snapshot (D4). */
interface SnapshotWanted {
  readonly type: 'snapshotWanted';
  readonly group: GroupId;
}
/**
 * A greeting, by which a cluster forms (T4). A question holds a nonce, and its answer echoes it. The answer travels
 * over the connection that the answering node dialled; the nonce travelled over the asker's, to the configured address.
 */
export interface Hello {
  readonly type: 'hello';
  readonly genesis: string | undefined;
  readonly members: readonly NodeId[];
  /** The nonce of a question, 16 hex digits; '' in an answer. */
  readonly nonce: string;
  /** The nonce of the question that is answered; '' in a question. */
  readonly echo: string;
}
/** What a member keeps about a start of another member (T4). */
export interface StartRecord {
  readonly member: NodeId;
  /** The number of the start, counted from 1. */
  readonly number: number;
  /** The boot of the start, 16 hex digits. */
  readonly boot: string;
  /** The furthest position up to which the member's log was durable in that start, as far as the keeper knows. */
  readonly position: number;
  /** Whether the keeper heard the start take part. Before that it counted nothing of this start. */
  readonly tookPart: boolean;
}
/** A node that has started asks the receiver to keep this start (T4). Its boot is in the header. */
export interface Introduce {
  readonly type: 'introduce';
  readonly number: number;
  /** The receiver's record of an earlier start, which the sender has found in its directory. */
  readonly judged: StartRecord | undefined;
}
/** The answer to an introduction: everything that the sender keeps durably about its members' starts. */
interface Records {
  readonly type: 'records';
  readonly records: readonly StartRecord[];
}
/** A question of a service above the node to the same service of another member. */
export interface Ask {
  readonly type: 'ask';
  /** The id of the question, which its answer repeats. */
  readonly id: number;
  readonly topic: string;
  readonly body: Buffer;
}
/** The answer to an Ask. */
export interface Answer {
  readonly type: 'answer';
  readonly id: number;
  readonly body: Buffer;
}
interface GroupMessage {
  readonly type: 'raft';
  readonly group: GroupId;
  readonly message: Message;
}

/** A message in a frame. */
export type PeerMessage =
  | GroupMessage
  | Forward
  | Traces
  | Refused
  | Quiesce
  | SnapshotWanted
  | Hello
  | Introduce
  | Records
  | Ask
  | Answer;

enum Code {
  PreVote = 1,
  PreVoteResponse = 2,
  Vote = 3,
  VoteResponse = 4,
  Append = 5,
  AppendResponse = 6,
  Heartbeat = 7,
  HeartbeatResponse = 8,
  ReadIndex = 9,
  ReadIndexResponse = 10,
  TimeoutNow = 11,
  /** An append that must not be answered. */
  Commit = 12,
  Forward = 32,
  Refused = 33,
  Quiesce = 34,
  SnapshotWanted = 35,
  Hello = 36,
  Introduce = 37,
  Records = 38,
  Ask = 39,
  Answer = 40,
  Traces = 41,
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/**
 * Builds the frames for one peer, in a buffer that is reused: `take` gives a finished frame, and starts the next one.
 */
export class FrameWriter {
  #buffer = Buffer.allocUnsafe(4096);
  #length = HEADER_BYTES;
  #to: NodeId;

  constructor(to: NodeId) {
    this.#to = to;
  }

  /** Whether the frame has no message yet. */
  get isEmpty(): boolean {
    return this.#length === HEADER_BYTES;
  }

  /** The length of the frame so far, in bytes, with its header. */
  get lengthBytes(): number {
    return this.#length;
  }

  /** Gives the frame with its header, and starts the next one. A frame without messages is a sign of life. */
  take(header: FrameHeader): Buffer {
    const frame = Buffer.allocUnsafe(this.#length);
    this.#buffer.copy(frame, 0, 0, this.#length);
    frame[0] = FRAME_VERSION;
    frame.write(header.clusterId, 1, 16, 'hex');
    frame.writeUInt32LE(header.from, 17);
    frame.write(header.incarnation, 21, 8, 'hex');
    frame.write(header.boot, 29, 8, 'hex');
    frame.writeDoubleLE(header.metaApplied, 37);
    frame.writeDoubleLE(header.position, 45);
    frame.writeDoubleLE(header.timeMs, 53);
    frame[61] = header.isAdmitted ? 1 : 0;
    this.#length = HEADER_BYTES;
    // A burst must not keep its memory for ever.
    if (this.#buffer.length > 4 * FRAME_BYTES_SOFT_MAX) this.#buffer = Buffer.allocUnsafe(4096);
    return frame;
  }

  /** Adds a message of a group's core. Throws for `installSnapshot`: snapshots travel as bulk streams. */
  raft(group: GroupId, message: Message): void {
    if (message.to !== this.#to) throw new Error(`message for node ${message.to} in a frame for ${this.#to}`);
    switch (message.type) {
      case 'append': {
        this.#head(message.isToAnswer ? Code.Append : Code.Commit, group);
        this.#number(message.term);
        this.#number(message.prevIndex);
        this.#number(message.prevTerm);
        this.#number(message.commit);
        this.#count(message.entries.length);
        for (const entry of message.entries) {
          this.#byte(entry.type);
          this.#number(entry.term);
          this.#bytes(entry.data);
        }
        return;
      }
      case 'appendResponse':
        this.#head(Code.AppendResponse, group);
        this.#number(message.term);
        this.#number(message.index);
        this.#byte(message.rejected ? 1 : 0);
        this.#number(message.hintIndex);
        this.#number(message.hintTerm);
        return;
      case 'heartbeat':
        this.#head(Code.Heartbeat, group);
        this.#number(message.term);
        this.#number(message.commit);
        this.#text(message.context);
        return;
      case 'heartbeatResponse':
        this.#head(Code.HeartbeatResponse, group);
        this.#number(message.term);
        this.#number(message.commit);
        this.#text(message.context);
        return;
      case 'preVote':
      case 'vote':
        this.#head(message.type === 'vote' ? Code.Vote : Code.PreVote, group);
        this.#number(message.term);
        this.#number(message.lastIndex);
        this.#number(message.lastTerm);
        if (message.type === 'vote') this.#byte(message.isTransfer ? 1 : 0);
        return;
      case 'preVoteResponse':
      case 'voteResponse':
        this.#head(message.type === 'voteResponse' ? Code.VoteResponse : Code.PreVoteResponse, group);
        this.#number(message.term);
        this.#byte(message.granted ? 1 : 0);
        return;
      case 'readIndex':
        this.#head(Code.ReadIndex, group);
        this.#number(message.term);
        this.#text(message.context);
        return;
      case 'readIndexResponse':
        this.#head(Code.ReadIndexResponse, group);
        this.#number(message.term);
        this.#text(message.context);
        this.#number(message.index);
        return;
      case 'timeoutNow':
        this.#head(Code.TimeoutNow, group);
        this.#number(message.term);
        return;
      case 'installSnapshot':
        throw new Error('snapshots travel as bulk streams, not in frames');
    }
  }

  forward(message: Omit<Forward, 'type'>): void {
    this.#head(Code.Forward, message.group);
    this.#number(message.term);
    this.#number(message.settledBelow);
    this.#count(message.proposals.length);
    for (const proposal of message.proposals) {
      this.#number(proposal.sequence);
      this.#byte(proposal.kind);
      this.#number(proposal.cursor ?? NO_CURSOR);
      this.#bytes(proposal.command);
    }
  }

  traces({ group, traces }: Omit<Traces, 'type'>): void {
    this.#head(Code.Traces, group);
    this.#count(traces.length);
    for (const { sequence, traceparent } of traces) {
      this.#number(sequence);
      this.#text(traceparent);
    }
  }

  refused(message: Omit<Refused, 'type'>): void {
    this.#head(Code.Refused, message.group);
    this.#number(message.term);
    this.#byte(message.isBusy ? 1 : 0);
    this.#count(message.sequences.length);
    for (const sequence of message.sequences) this.#number(sequence);
  }

  quiesce(group: GroupId, term: number, commit: number): void {
    this.#head(Code.Quiesce, group);
    this.#number(term);
    this.#number(commit);
  }

  snapshotWanted(group: GroupId): void {
    this.#head(Code.SnapshotWanted, group);
  }

  hello(hello: Omit<Hello, 'type'>): void {
    this.#head(Code.Hello, 0);
    this.#text(hello.genesis ?? '');
    this.#count(hello.members.length);
    for (const id of hello.members) this.#number(id);
    this.#text(hello.nonce);
    this.#text(hello.echo);
  }

  introduce({ number, judged }: Omit<Introduce, 'type'>): void {
    this.#head(Code.Introduce, 0);
    this.#number(number);
    this.#startRecords(judged === undefined ? [] : [judged]);
  }

  records(records: readonly StartRecord[]): void {
    this.#head(Code.Records, 0);
    this.#startRecords(records);
  }

  ask({ id, topic, body }: Omit<Ask, 'type'>): void {
    this.#head(Code.Ask, 0);
    this.#number(id);
    this.#text(topic);
    this.#bytes(body);
  }

  answer({ id, body }: Omit<Answer, 'type'>): void {
    this.#head(Code.Answer, 0);
    this.#number(id);
    this.#bytes(body);
  }

  #startRecords(records: readonly StartRecord[]): void {
    this.#count(records.length);
    for (const { member, number, boot, position, tookPart } of records) {
      this.#number(member);
      this.#number(number);
      this.#text(boot);
      this.#number(position);
      this.#byte(tookPart ? 1 : 0);
    }
  }

  #reserve(lengthBytes: number): number {
    const at = this.#length;
    const needed = at + lengthBytes;
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, at);
      this.#buffer = grown;
    }
    this.#length = needed;
    return at;
  }

  #head(code: Code, group: GroupId): void {
    const at = this.#reserve(9);
    this.#buffer[at] = code;
    this.#buffer.writeDoubleLE(group, at + 1);
  }

  #byte(value: number): void {
    const at = this.#reserve(1);
    this.#buffer[at] = value;
  }

  #number(value: number): void {
    const at = this.#reserve(8);
    this.#buffer.writeDoubleLE(value, at);
  }

  #count(value: number): void {
    const at = this.#reserve(4);
    this.#buffer.writeUInt32LE(value, at);
  }

  #bytes(value: Buffer): void {
    this.#count(value.length);
    const at = this.#reserve(value.length);
    value.copy(this.#buffer, at);
  }

  #text(value: string): void {
    this.#bytes(Buffer.from(value, 'latin1'));
  }
}

/**
 * Reads the messages of a frame, after the caller has checked the sender by the header. Entries share the frame's
 * memory.
 */
export class FrameReader {
  readonly header: FrameHeader;
  readonly #frame: Buffer;
  readonly #to: NodeId;
  #at = HEADER_BYTES;

  /** Reads the header of a frame to the node `to`. Throws for bytes that are not a frame of this version. */
  constructor(frame: Buffer, to: NodeId) {
    if (frame.length < HEADER_BYTES || frame[0] !== FRAME_VERSION) {
      throw new Error(
        `peer frame of ${frame.length} bytes has version ${frame[0]}, expected ${FRAME_VERSION}`,
      );
    }
    this.#frame = frame;
    this.#to = to;
    this.header = {
      clusterId: frame.toString('hex', 1, 17),
      from: frame.readUInt32LE(17),
      incarnation: frame.toString('hex', 21, 29),
      boot: frame.toString('hex', 29, 37),
      metaApplied: frame.readDoubleLE(37),
      position: frame.readDoubleLE(45),
      timeMs: frame.readDoubleLE(53),
      isAdmitted: frame[61] === 1,
    };
    const { metaApplied, position, timeMs } = this.header;
    if (![metaApplied, position, timeMs].every(isCount))
      throw new RangeError('peer frame has a damaged header');
  }

  /** Whether all messages of the frame were read. */
  get isAtEnd(): boolean {
    return this.#at >= this.#frame.length;
  }

  /**
   * Reads the next message. Throws a RangeError when the frame is cut short or damaged, and an Error for a message of
   * unknown type.
   */
  next(): PeerMessage {
    const code = this.#byte() as Code;
    const group = this.#number();
    const raft = (message: Message): GroupMessage => ({ type: 'raft', group, message });
    const from = this.header.from;
    const to = this.#to;
    switch (code) {
      case Code.Append:
      case Code.Commit: {
        const term = this.#number();
        const prevIndex = this.#number();
        const prevTerm = this.#number();
        const commit = this.#number();
        let index = prevIndex;
        const entries = this.#items(13, (): Entry => {
          const type = this.#entryType();
          return { index: ++index, type, term: this.#number(), data: this.#bytes() };
        });
        const isToAnswer = code === Code.Append;
        return raft({ type: 'append', from, to, term, prevIndex, prevTerm, commit, entries, isToAnswer });
      }
      case Code.AppendResponse:
        return raft({
          type: 'appendResponse',
          from,
          to,
          term: this.#number(),
          index: this.#number(),
          rejected: this.#byte() === 1,
          hintIndex: this.#number(),
          hintTerm: this.#number(),
        });
      case Code.Heartbeat:
        return raft({
          type: 'heartbeat',
          from,
          to,
          term: this.#number(),
          commit: this.#number(),
          context: this.#text(),
        });
      case Code.HeartbeatResponse:
        return raft({
          type: 'heartbeatResponse',
          from,
          to,
          term: this.#number(),
          commit: this.#number(),
          context: this.#text(),
        });
      case Code.PreVote:
        return raft({ type: 'preVote', from, to, ...this.#campaign() });
      case Code.Vote:
        return raft({ type: 'vote', from, to, ...this.#campaign(), isTransfer: this.#byte() === 1 });
      case Code.PreVoteResponse:
      case Code.VoteResponse:
        return raft({
          type: code === Code.VoteResponse ? 'voteResponse' : 'preVoteResponse',
          from,
          to,
          term: this.#number(),
          granted: this.#byte() === 1,
        });
      case Code.ReadIndex:
        return raft({ type: 'readIndex', from, to, term: this.#number(), context: this.#text() });
      case Code.ReadIndexResponse:
        return raft({
          type: 'readIndexResponse',
          from,
          to,
          term: this.#number(),
          context: this.#text(),
          index: this.#number(),
        });
      case Code.TimeoutNow:
        return raft({ type: 'timeoutNow', from, to, term: this.#number() });
      case Code.Forward: {
        const term = this.#number();
        const settledBelow = this.#number();
        const proposals = this.#items(
          21,
          (): ForwardedProposal => ({
            sequence: this.#number(),
            kind: this.#byte(),
            cursor: this.#cursor(),
            command: this.#bytes(),
          }),
        );
        return { type: 'forward', group, term, settledBelow, proposals };
      }
      case Code.Traces: {
        const traces = this.#items(12, () => ({ sequence: this.#number(), traceparent: this.#text() }));
        return { type: 'traces', group, traces };
      }
      case Code.Refused: {
        const term = this.#number();
        const isBusy = this.#byte() === 1;
        const sequences = this.#items(8, () => this.#number());
        return { type: 'refused', group, term, isBusy, sequences };
      }
      case Code.Quiesce:
        return { type: 'quiesce', group, term: this.#number(), commit: this.#number() };
      case Code.SnapshotWanted:
        return { type: 'snapshotWanted', group };
      case Code.Hello: {
        const genesis = this.#text();
        const members = this.#items(8, () => this.#number());
        const nonce = this.#text();
        const echo = this.#text();
        return { type: 'hello', genesis: genesis === '' ? undefined : genesis, members, nonce, echo };
      }
      case Code.Introduce: {
        const number = this.#number();
        return { type: 'introduce', number, judged: this.#startRecords()[0] };
      }
      case Code.Records:
        return { type: 'records', records: this.#startRecords() };
      case Code.Ask:
        return { type: 'ask', id: this.#number(), topic: this.#text(), body: this.#bytes() };
      case Code.Answer:
        return { type: 'answer', id: this.#number(), body: this.#bytes() };
      default:
        throw new Error(`peer message of unknown type ${code as number}`);
    }
  }

  #campaign(): { term: number; lastIndex: number; lastTerm: number } {
    return { term: this.#number(), lastIndex: this.#number(), lastTerm: this.#number() };
  }

  #startRecords(): StartRecord[] {
    return this.#items(29, () => {
      const member = this.#number();
      const number = this.#number();
      const boot = this.#text();
      if (!/^[0-9a-f]{16}$/.test(boot)) throw new RangeError('peer frame holds a damaged boot');
      return { member, number, boot, position: this.#number(), tookPart: this.#byte() === 1 };
    });
  }

  #byte(): number {
    const value = this.#frame[this.#at++];
    if (value === undefined) throw new RangeError('peer frame is cut short');
    return value;
  }

  /** Reads a term, an index or an id. Throws for any other number: a core would take NaN for one. */
  #number(): number {
    const value = this.#frame.readDoubleLE(this.#at);
    if (!isCount(value)) throw new RangeError(`peer frame holds ${value} where a count must be`);
    this.#at += 8;
    return value;
  }

  #cursor(): number | undefined {
    if (this.#frame.readDoubleLE(this.#at) !== NO_CURSOR) return this.#number();
    this.#at += 8;
    return undefined;
  }

  /**
   * Reads the type of an entry. Throws for a type that this version does not know, which must not be stored as another
   * (A8).
   */
  #entryType(): EntryType {
    const type = this.#byte();
    if (type !== EntryType.Empty && type !== EntryType.Normal) {
      throw new RangeError(`peer frame holds an entry of unknown type ${type}`);
    }
    return type;
  }

  #count(): number {
    const value = this.#frame.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  /**
   * Reads a list whose items take at least `itemBytesMin` each. A count that cannot be true is refused before anything
   * is allocated.
   */
  #items<Item>(itemBytesMin: number, read: () => Item): Item[] {
    const count = this.#count();
    if (count > (this.#frame.length - this.#at) / itemBytesMin) {
      throw new RangeError('peer frame is cut short');
    }
    const items: Item[] = [];
    for (let i = 0; i < count; i++) items.push(read());
    return items;
  }

  #bytes(): Buffer {
    const length = this.#count();
    const end = this.#at + length;
    if (end > this.#frame.length) throw new RangeError('peer frame is cut short');
    const value = this.#frame.subarray(this.#at, end);
    this.#at = end;
    return value;
  }

  #text(): string {
    return this.#bytes().toString('latin1');
  }
}
