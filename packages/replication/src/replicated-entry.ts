import { mvcc, WireReader } from '@coxswain/protocol';

/** A command of the leader cluster in an entry of the follower cluster's log. */
export interface ReplicatedCommand {
  /** The command's index in the leader cluster's log. */
  readonly leaderIndex: number;
  /** When the leader cluster appended the command, in milliseconds since 1970; 0 when unknown. */
  readonly timeMs: number;
  /** The marshalled mvcc.v1.Command. */
  readonly command: Buffer;
}

/** Field tags of mvcc.v1.Command. */
const TYPE = (2 << 3) | 0;
const LEADER_INDEX = (5 << 3) | 0;
const SEQUENCE = (10 << 3) | 2;
const TIME_MS = (100 << 3) | 0;

/**
 * Reads, in order, the commands of the leader cluster in an entry that `encodeSequence` or `encodeStamped` wrote; none
 * when the entry has no leader_index. Throws WireError for bytes that are no command.
 */
export function readReplicatedEntry(command: Buffer): ReplicatedCommand[] {
  const outer = read(command);
  // A SEQUENCE from the leader cluster's own log came with its time and counts as one command.
  if (outer.type === mvcc.Command_CommandType.SEQUENCE && outer.timeMs === 0) {
    const inner = outer.sequence.map(read).filter(({ leaderIndex }) => leaderIndex > 0);
    if (inner.length > 0) return inner.map(toReplicated);
  }
  return outer.leaderIndex === 0 ? [] : [toReplicated(outer)];
}

interface Read extends ReplicatedCommand {
  readonly type: mvcc.Command_CommandType;
  readonly sequence: readonly Buffer[];
}

function toReplicated({ leaderIndex, timeMs, command }: Read): ReplicatedCommand {
  return { leaderIndex, timeMs, command };
}

function read(command: Buffer): Read {
  const reader = new WireReader(command);
  const sequence: Buffer[] = [];
  let type = mvcc.Command_CommandType.PUT;
  let leaderIndex = 0;
  let timeMs = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === TYPE) type = reader.int32();
    else if (tag === LEADER_INDEX) leaderIndex = Number(reader.uint64());
    else if (tag === TIME_MS) timeMs = Number(reader.uint64());
    else if (tag === SEQUENCE) sequence.push(reader.bytes());
    else reader.skip(tag);
  }
  return { type, leaderIndex, timeMs, command, sequence };
}
