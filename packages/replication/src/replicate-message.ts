import { mvcc, replication, WireReader } from '@coxswain/protocol';

/**
 * replication.v1.ReplicateResponse with its commands marshalled: commands travel from a leader cluster's log to a
 * follower cluster's log without being decoded on the way (ARCHITECTURE.md, "The bytes of a command").
 */
export interface ReplicateMessage {
  /** The leader cluster's applied index; 0 from leaders of the seed's days, which report none. */
  readonly leaderIndex: number;
  /** When the entry at `leaderIndex` was appended, or the last one before it with a time, ms since 1970; 0: not known. */
  readonly leaderTimeMs: number;
  readonly commands: readonly ReceivedCommand[];
  readonly error: replication.ReplicateError | undefined;
  /**
   * True for a message with neither commands nor an error: all that was applied has come, and the stream ends, unless
   * more may follow (`TAKES_MORE_ANSWERS`).
   */
  readonly isTerminal: boolean;
}

/** An entry of the leader cluster's log, its command as bytes, which may share memory with the message. */
export interface MarshalledCommand {
  /** Its index in the leader cluster's log. */
  readonly leaderIndex: number;
  /** When the leader appended it, in milliseconds since 1970; 0 where it is not reported. */
  readonly timeMs: number;
  /** A marshalled mvcc.v1.Command. Its own leader_index is the one above. */
  readonly command: Buffer;
}

/** A command as it came, with the details that are needed to pass it on. */
export interface ReceivedCommand extends MarshalledCommand {
  readonly type: mvcc.Command_CommandType;
}

/** Returns a tag: field number and wire type. */
const varintField = (field: number) => field << 3;
const bytesField = (field: number) => (field << 3) | 2;

const COMMANDS_RESPONSE = bytesField(1);
const ERROR_RESPONSE = bytesField(2);
const RESPONSE_LEADER_INDEX = varintField(8);
const RESPONSE_LEADER_TIME_MS = varintField(100);
const COMMANDS = bytesField(1);
const COMMAND_LEADER_INDEX = varintField(1);
const COMMAND = bytesField(2);
const COMMAND_TIME_MS = varintField(100);
const ERROR = varintField(1);
/** A tag of mvcc.v1.Command. */
const INNER_TYPE = varintField(2);
const INNER_LEADER_INDEX = varintField(5);

/** The most bytes that a message takes in addition to its commands. */
export const MESSAGE_OVERHEAD_BYTES = 32;

/** Returns the bytes that a command takes in a message. */
export function sizeInMessage({ leaderIndex, timeMs, command }: MarshalledCommand): number {
  const size = commandSize(leaderIndex, timeMs, command);
  return 1 + varintSize(size) + size;
}

/** Encodes a message of commands: the inner command gets its leader_index appended, of which the last one counts. */
export function encodeCommands(commands: readonly MarshalledCommand[], leaderIndex: number): Buffer {
  let size = 0;
  for (const command of commands) size += sizeInMessage(command);
  const message = Buffer.allocUnsafe(1 + varintSize(size) + size + leaderIndexSize(leaderIndex));
  let at = writeTag(message, 0, COMMANDS_RESPONSE);
  at = writeVarint(message, at, size);
  for (const { leaderIndex: index, timeMs, command } of commands) {
    at = writeTag(message, at, COMMANDS);
    at = writeVarint(message, at, commandSize(index, timeMs, command));
    at = writeTag(message, at, COMMAND_LEADER_INDEX);
    at = writeVarint(message, at, index);
    at = writeTag(message, at, COMMAND);
    at = writeVarint(message, at, command.length + 1 + varintSize(index));
    message.set(command, at);
    at = writeTag(message, at + command.length, INNER_LEADER_INDEX);
    at = writeVarint(message, at, index);
    if (timeMs === 0) continue;
    at = writeTag(message, at, COMMAND_TIME_MS);
    at = writeVarint(message, at, timeMs);
  }
  writeLeaderIndex(message, at, leaderIndex);
  return message;
}

export function encodeError(
  error: replication.ReplicateError,
  leaderIndex: number,
  leaderTimeMs = 0,
): Buffer {
  return encodeSmall({ $case: 'errorResponse', value: { error } }, leaderIndex, leaderTimeMs);
}

/** Encodes the last message of a stream: only leader_index, and its time. */
export function encodeTerminal(leaderIndex: number, leaderTimeMs = 0): Buffer {
  return encodeSmall(undefined, leaderIndex, leaderTimeMs);
}

function encodeSmall(
  response: replication.ReplicateResponse['response'],
  leaderIndex: number,
  leaderTimeMs: number,
): Buffer {
  const message = { response, leaderIndex: BigInt(leaderIndex), leaderTimeMs: BigInt(leaderTimeMs) };
  return Buffer.from(replication.ReplicateResponse.encode(message).finish());
}

/**
 * Reads a message. Liberal: fields in any order, unknown ones, inner commands with or without leader_index, which get
 * that of the outer one. Throws WireError for bytes that are no message, RangeError for indices past 2^53-1.
 */
export function readReplicateMessage(bytes: Buffer): ReplicateMessage {
  const reader = new WireReader(bytes);
  let leaderIndex = 0;
  let leaderTimeMs = 0;
  let commands: ReceivedCommand[] = [];
  let error: replication.ReplicateError | undefined;
  let hasCommands = false;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === COMMANDS_RESPONSE) {
      const outerEnd = reader.enter(reader.length());
      // Of a oneof the last one counts; of one that comes twice the parts are joined.
      if (!hasCommands) commands = [];
      readCommands(reader, commands);
      hasCommands = true;
      error = undefined;
      reader.leave(outerEnd);
    } else if (tag === ERROR_RESPONSE) {
      const outerEnd = reader.enter(reader.length());
      error = readError(reader, error ?? replication.ReplicateError.USE_SNAPSHOT);
      hasCommands = false;
      commands = [];
      reader.leave(outerEnd);
    } else if (tag === RESPONSE_LEADER_INDEX) leaderIndex = readIndex(reader);
    else if (tag === RESPONSE_LEADER_TIME_MS) leaderTimeMs = readIndex(reader);
    else reader.skip(tag);
  }
  return { leaderIndex, leaderTimeMs, commands, error, isTerminal: !hasCommands && error === undefined };
}

function readCommands(reader: WireReader, into: ReceivedCommand[]): void {
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag !== COMMANDS) {
      reader.skip(tag);
      continue;
    }
    const outerEnd = reader.enter(reader.length());
    into.push(readCommand(reader));
    reader.leave(outerEnd);
  }
}

function readCommand(reader: WireReader): ReceivedCommand {
  let outerIndex = 0;
  let timeMs = 0;
  let command: Buffer = NOTHING;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === COMMAND_LEADER_INDEX) outerIndex = readIndex(reader);
    else if (tag === COMMAND_TIME_MS) timeMs = readIndex(reader);
    // Parts of a message that comes in several are joined, which is what their bytes one after the other mean.
    else if (tag === COMMAND)
      command = command === NOTHING ? reader.bytes() : Buffer.concat([command, reader.bytes()]);
    else reader.skip(tag);
  }
  const { type, leaderIndex: innerIndex } = peekCommand(command);
  const leaderIndex = outerIndex === 0 ? innerIndex : outerIndex;
  const isWhole = innerIndex === leaderIndex;
  return { leaderIndex, timeMs, type, command: isWhole ? command : withLeaderIndex(command, leaderIndex) };
}

/** Returns the type and the leader_index, 0 where it has none, of a marshalled mvcc.v1.Command. Throws WireError. */
export function peekCommand(command: Buffer): { type: mvcc.Command_CommandType; leaderIndex: number } {
  const reader = new WireReader(command);
  let type = mvcc.Command_CommandType.PUT;
  let leaderIndex = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === INNER_LEADER_INDEX) leaderIndex = readIndex(reader);
    else if (tag === INNER_TYPE) type = reader.int32();
    else reader.skip(tag);
  }
  return { type, leaderIndex };
}

/** Returns the command's bytes with a leader_index appended, of which the last one counts. */
function withLeaderIndex(command: Buffer, leaderIndex: number): Buffer {
  const result = Buffer.allocUnsafe(command.length + 1 + varintSize(leaderIndex));
  result.set(command, 0);
  writeVarint(result, writeTag(result, command.length, INNER_LEADER_INDEX), leaderIndex);
  return result;
}

function readError(reader: WireReader, before: replication.ReplicateError): replication.ReplicateError {
  let error = before;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === ERROR) error = reader.int32();
    else reader.skip(tag);
  }
  return error;
}

function readIndex(reader: WireReader): number {
  const index = reader.uint64();
  if (index > BigInt(Number.MAX_SAFE_INTEGER))
    throw new RangeError(`${index} is no index that a log can reach`);
  return Number(index);
}

const NOTHING = Buffer.alloc(0);

function commandSize(leaderIndex: number, timeMs: number, command: Buffer): number {
  const indexSize = varintSize(leaderIndex);
  const innerSize = command.length + 1 + indexSize;
  const timeSize = timeMs === 0 ? 0 : 2 + varintSize(timeMs);
  return 1 + indexSize + 1 + varintSize(innerSize) + innerSize + timeSize;
}

function leaderIndexSize(leaderIndex: number): number {
  return leaderIndex === 0 ? 0 : 1 + varintSize(leaderIndex);
}

function writeLeaderIndex(target: Buffer, at: number, leaderIndex: number): void {
  if (leaderIndex === 0) return;
  writeVarint(target, writeTag(target, at, RESPONSE_LEADER_INDEX), leaderIndex);
}

function writeTag(target: Buffer, at: number, tag: number): number {
  return writeVarint(target, at, tag);
}

/** Returns the bytes that a varint takes, for numbers up to 2^53-1. */
export function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** Writes a varint of up to 2^53-1, and returns the offset where it ends. */
export function writeVarint(target: Buffer, at: number, value: number): number {
  let rest = value;
  let next = at;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) target[next++] = (rest % 0x80) | 0x80;
  target[next++] = rest;
  return next;
}
