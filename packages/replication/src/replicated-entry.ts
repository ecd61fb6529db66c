import { mvcc, WireReader } from '@coxswain/protocol';

/** A command of the leader cluster as an entry of the follower cluster's log holds it. */
export interface ReplicatedCommand {
  /** Its index in the leader cluster's log. */
  readonly leaderIndex: number;
  /** When the leader cluster appended it, in milliseconds since 1970; 0 where it did not report a time. */
  readonly timeMs: number;
  /** The marshalled mvcc.v1.Command. */
  readonly command: Buffer;
}

/** Tags of mvcc.v1.Command. */
const TYPE = (2 << 3) | 0;
const LEADER_INDEX = (5 << 3) | 0;
const SEQUENCE = (10 << 3) | 2;
const TIME_MS = (100 << 3) | 0;

/**
 * Returns the commands that an entry of a follower cluster's log brought from the leader cluster, in order, which
 * `encodeSequence` and `encodeStamped` wrote; none where the command has no leader_index. Throws WireError for bytes
 * that are no command.
 */
export function readReplicatedEntry(command: Buffer): ReplicatedCommand[] {
  const outer = read(command);
  // A SEQUENCE that the leader cluster's own log holds came with its time, and is one command.
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
