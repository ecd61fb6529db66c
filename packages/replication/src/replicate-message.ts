import { mvcc, replication, WireReader } from '@coxswain/protocol';

/**
 * A replication.v1.ReplicateResponse with its commands still marshalled: entries travel from a leader cluster's log to
 * a follower cluster's log without being decoded on the way (ARCHITECTURE.md, "The bytes of a command").
 */
export interface ReplicateMessage {
  /** The leader cluster's applied index; 0 from early stock leaders, which do not send it. */
  readonly leaderIndex: number;
  /**
   * When the entry at `leaderIndex`, or the last one before it with a time, was appended, in milliseconds since 1970; 0
   * when unknown.
   */
  readonly leaderTimeMs: number;
  readonly commands: readonly ReceivedCommand[];
  readonly error: replication.ReplicateError | undefined;
  /**
   * True for a message with neither commands nor an error: everything applied has come, and the stream ends, unless it
   * may continue (`TAKES_MORE_ANSWERS`).
   */
  readonly isTerminal: boolean;
}

/** An entry of the leader cluster's log with its command as bytes, which may share memory with the message. */
export interface MarshalledCommand {
  /** The entry's index in the leader cluster's log. */
  readonly leaderIndex: number;
  /** When the leader appended the entry, in milliseconds since 1970; 0 when unknown. */
  readonly timeMs: number;
  /** The span that wrote the entry, as a traceparent; undefined when it is not known. */
  readonly traceparent?: string | undefined;
  /** A marshalled mvcc.v1.Command. Its own leader_index equals `leaderIndex`. */
  readonly command: Buffer;
}

/** A command as it was received, with the type that is needed to pass it on. */
export interface ReceivedCommand extends MarshalledCommand {
  readonly type: mvcc.Command_CommandType;
}

/** The tag of a field: field number and wire type. */
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
const COMMAND_TRACEPARENT = bytesField(101);
const ERROR = varintField(1);
/** Fields of mvcc.v1.Command. */
const INNER_TYPE = varintField(2);
const INNER_LEADER_INDEX = varintField(5);

/** The most bytes that a message takes beside its commands. */
export const MESSAGE_OVERHEAD_BYTES = 32;

/** Returns the bytes that a command takes in a message. */
export function sizeInMessage(marshalled: MarshalledCommand): number {
  const size = commandSize(marshalled);
  return 1 + varintSize(size) + size;
}

/**
 * Encodes a message of commands. Each inner command gets its leader_index appended; of several, decoders use the last
 * one.
 */
export function encodeCommands(commands: readonly MarshalledCommand[], leaderIndex: number): Buffer {
  let size = 0;
  for (const command of commands) size += sizeInMessage(command);
  const message = Buffer.allocUnsafe(1 + varintSize(size) + size + leaderIndexSize(leaderIndex));
  let at = writeTag(message, 0, COMMANDS_RESPONSE);
  at = writeVarint(message, at, size);
  for (const marshalled of commands) {
    const { leaderIndex: index, timeMs, command, traceparent } = marshalled;
    at = writeTag(message, at, COMMANDS);
    at = writeVarint(message, at, commandSize(marshalled));
    at = writeTag(message, at, COMMAND_LEADER_INDEX);
    at = writeVarint(message, at, index);
    at = writeTag(message, at, COMMAND);
    at = writeVarint(message, at, command.length + 1 + varintSize(index));
    message.set(command, at);
    at = writeTag(message, at + command.length, INNER_LEADER_INDEX);
    at = writeVarint(message, at, index);
    if (timeMs !== 0) {
      at = writeTag(message, at, COMMAND_TIME_MS);
      at = writeVarint(message, at, timeMs);
    }
    if (traceparent === undefined) continue;
    at = writeTag(message, at, COMMAND_TRACEPARENT);
    at = writeVarint(message, at, traceparent.length);
    at += message.write(traceparent, at, 'latin1');
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

/** Encodes the last message of a stream: only leader_index and its time. */
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
 * Decodes a message. It is liberal: it accepts fields in any order, unknown fields, and inner commands without
 * leader_index, which get that of the outer one. Throws WireError for bytes that are no message, and RangeError for
 * indices above 2^53-1.
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
      // Of a oneof, the last field counts; the parts of one that comes twice are joined.
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
  let traceparent: string | undefined;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === COMMAND_LEADER_INDEX) outerIndex = readIndex(reader);
    else if (tag === COMMAND_TIME_MS) timeMs = readIndex(reader);
    else if (tag === COMMAND_TRACEPARENT) traceparent = reader.bytes().toString('latin1');
    // The parts of a field that comes several times are joined, which is the meaning of their concatenated bytes.
    else if (tag === COMMAND)
      command = command === NOTHING ? reader.bytes() : Buffer.concat([command, reader.bytes()]);
    else reader.skip(tag);
  }
  const { type, leaderIndex: innerIndex } = peekCommand(command);
  const leaderIndex = outerIndex === 0 ? innerIndex : outerIndex;
  const isWhole = innerIndex === leaderIndex;
  return {
    leaderIndex,
    timeMs,
    type,
    command: isWhole ? command : withLeaderIndex(command, leaderIndex),
    ...(traceparent !== undefined && { traceparent }),
  };
}

/**
 * Reads the type and the leader_index of a marshalled mvcc.v1.Command; the latter is 0 when it has none. Throws
 * WireError.
 */
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

/** Appends a leader_index to the command's bytes; of several, decoders use the last one. */
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

function commandSize({ leaderIndex, timeMs, command, traceparent }: MarshalledCommand): number {
  const indexSize = varintSize(leaderIndex);
  const innerSize = command.length + 1 + indexSize;
  const timeSize = timeMs === 0 ? 0 : 2 + varintSize(timeMs);
  const traceSize = traceparent === undefined ? 0 : 2 + varintSize(traceparent.length) + traceparent.length;
  return 1 + indexSize + 1 + varintSize(innerSize) + innerSize + timeSize + traceSize;
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

/** Writes a varint of up to 2^53-1, and returns the position after it. */
export function writeVarint(target: Buffer, at: number, value: number): number {
  let rest = value;
  let next = at;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) target[next++] = (rest % 0x80) | 0x80;
  target[next++] = rest;
  return next;
}
