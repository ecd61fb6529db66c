import { type MarshalledCommand, varintSize, writeVarint } from './replicate-message.js';

/** Of mvcc.v1.Command: type = SEQUENCE, leader_index, sequence. */
const TYPE = (2 << 3) | 0;
const TYPE_SEQUENCE = 6;
const LEADER_INDEX = (5 << 3) | 0;
const SEQUENCE = (10 << 3) | 2;

/** The bytes that a command takes in a sequence. */
export function sizeInSequence({ command }: MarshalledCommand): number {
  return 1 + varintSize(command.length) + command.length;
}

/**
 * One mvcc.v1.Command of type SEQUENCE that holds these commands as they are, each with a leader_index of its own,
 * and has the last one's (regatta-protocol.md §3). Several commands then cost a follower cluster one log entry.
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
  for (const { command } of commands) {
    at = writeVarint(sequence, at, SEQUENCE);
    at = writeVarint(sequence, at, command.length);
    sequence.set(command, at);
    at += command.length;
  }
  return sequence;
}
