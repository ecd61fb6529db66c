import { UnknownCommandError } from './errors.js';
import type { CommandKind } from './types.js';

/**
 * The envelope in which a command travels in a log entry (ARCHITECTURE.md, "The bytes of a command"). The command's
 * bytes follow the envelope unchanged: they are as the client's node marshalled them, and follower clusters get the
 * same.
 *
 * | offset | bytes | content |
 * | --- | --- | --- |
 * | 0 | 1 | kind of the command |
 * | 1 | 1 | flags: 1, a cursor follows the header; others must be 0 (A8) |
 * | 2 | 6 | the leader's time stamp, ms since 1970 (A7) |
 * | 8 | 4 | origin node |
 * | 12 | 8 | boot nonce of the origin node |
 * | 20 | 6 | sequence within that boot (P1) |
 * | 26 | 8 | only with its flag: the leader cluster's index that the command was built on (R1), little-endian |
 * | then | | the command |
 */
const HEADER_BYTES = 26;
/** The size of the shortest envelope, in bytes. */
export const ENVELOPE_BYTES_MIN = HEADER_BYTES;
const CURSOR_BYTES = 8;
const HAS_CURSOR = 1;

/** The identity of a proposal (P1), which is unique over nodes, restarts and proposals. */
export interface ProposalId {
  readonly node: number;
  /** The boot nonce of the node, 8 bytes as hex. */
  readonly boot: string;
  readonly sequence: number;
}

/**
 * Makes a log entry: an envelope followed by the command's bytes. `cursor` is the leader cluster's index that the
 * command was built on (R1).
 */
export function sealEnvelope(
  kind: CommandKind,
  timeMs: number,
  id: ProposalId,
  command: Buffer,
  cursor: number | undefined,
): Buffer {
  const commandAt = cursor === undefined ? HEADER_BYTES : HEADER_BYTES + CURSOR_BYTES;
  const entry = Buffer.allocUnsafe(commandAt + command.length);
  entry[0] = kind;
  entry[1] = cursor === undefined ? 0 : HAS_CURSOR;
  entry.writeUIntLE(timeMs, 2, 6);
  entry.writeUInt32LE(id.node, 8);
  entry.write(id.boot, 12, 8, 'hex');
  entry.writeUIntLE(id.sequence, 20, 6);
  if (cursor !== undefined) entry.writeBigUInt64LE(BigInt(cursor), HEADER_BYTES);
  command.copy(entry, commandAt);
  return entry;
}

/** The parts of a log entry that a table applies. */
export interface Envelope {
  readonly kind: CommandKind;
  readonly timeMs: number;
  readonly cursor: number | undefined;
  readonly command: Buffer;
}

/**
 * Reads an entry. `command` shares its memory. Throws UnknownCommandError for an entry that a newer version wrote: it
 * is never skipped (A8).
 */
export function openEnvelope(entry: Buffer, index: number): Envelope {
  if (entry.length < HEADER_BYTES) {
    throw new UnknownCommandError(`an envelope of ${entry.length} bytes`, index);
  }
  const flags = entry[1]!;
  const commandAt = flags === HAS_CURSOR ? HEADER_BYTES + CURSOR_BYTES : HEADER_BYTES;
  if ((flags & ~HAS_CURSOR) !== 0 || entry.length < commandAt) {
    throw new UnknownCommandError(`an envelope with flags ${flags}`, index);
  }
  return {
    kind: entry[0]!,
    timeMs: entry.readUIntLE(2, 6),
    cursor: flags === HAS_CURSOR ? Number(entry.readBigUInt64LE(HEADER_BYTES)) : undefined,
    command: entry.subarray(commandAt),
  };
}

/** Returns the leader's time stamp of an entry (A7), in milliseconds since 1970; 0 for an entry without an envelope. */
export function envelopeTimeMs(entry: Buffer): number {
  return entry.length < HEADER_BYTES ? 0 : entry.readUIntLE(2, 6);
}

/** Returns the sequence of an entry that this boot of this node proposed; undefined for any other entry. */
export function ownSequence(entry: Buffer, node: number, boot: Buffer): number | undefined {
  if (entry.readUInt32LE(8) !== node || boot.compare(entry, 12, 20) !== 0) return undefined;
  return entry.readUIntLE(20, 6);
}
