import { type MarshalledCommand, varintSize, writeVarint } from './replicate-message.js';

/** Tags of mvcc.v1.Command: type = SEQUENCE, leader_index, sequence. */
const TYPE = (2 << 3) | 0;
const TYPE_SEQUENCE = 6;
const LEADER_INDEX = (5 << 3) | 0;
const SEQUENCE = (10 << 3) | 2;
const TIME_MS = (100 << 3) | 0;
const TIME_MS_TAG_BYTES = 2;

/** Returns the bytes that a command takes in a sequence. */
export function sizeInSequence(command: MarshalledCommand): number {
  const size = stampedSize(command);
  return 1 + varintSize(size) + size;
}

/**
 * Encodes a command as a follower cluster's log holds it: with the time at which the leader cluster appended it, where
 * that is known, so that both clusters give a revision the same time.
 */
export function encodeStamped(command: MarshalledCommand): Buffer {
  const stamped = Buffer.allocUnsafe(stampedSize(command));
  writeStamped(stamped, 0, command);
  return stamped;
}

/**
 * Encodes one mvcc.v1.Command of type SEQUENCE that holds these commands as they are, each with a leader_index and a
 * time of its own, and has the last one's leader_index (docs/protocol.md §3). Several commands then cost a follower
 * cluster one log entry.
 */
export function encodeSequence(commands: readonly MarshalledCommand[]): Buffer {
  const { leaderIndex } = commands[commands.length - 1]!;
  let size = 2 + 1 + varintSize(leaderIndex);
  for (const command of commands) size += sizeInSequence(command);
  const sequence = Buffer.allocUnsafe(size);
  let at = writeVarint(sequence, 0, TYPE);
  at = writeVarint(sequence, at, TYPE_SEQUENCE);
  at = writeVarint(sequence, at, LEADER_INDEX);
  at = writeVarint(sequence, at, leaderIndex);
  for (const command of commands) {
    at = writeVarint(sequence, at, SEQUENCE);
    at = writeVarint(sequence, at, stampedSize(command));
    at = writeStamped(sequence, at, command);
  }
  return sequence;
}

function stampedSize({ command, timeMs }: MarshalledCommand): number {
  return command.length + (timeMs === 0 ? 0 : TIME_MS_TAG_BYTES + varintSize(timeMs));
}

/** Writes one command, and returns the offset where it ends. */
function writeStamped(target: Buffer, at: number, { command, timeMs }: MarshalledCommand): number {
  target.set(command, at);
  const end = at + command.length;
  return timeMs === 0 ? end : writeVarint(target, writeVarint(target, end, TIME_MS), timeMs);
}
