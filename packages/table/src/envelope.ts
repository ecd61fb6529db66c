import { UnknownCommandError } from './errors.js';
import type { CommandKind } from './types.js';

/**
 * What travels in a log entry beside the command (ARCHITECTURE.md, "The bytes of a command"). The command's bytes follow the
 * envelope untouched: they are what the client's node marshalled, and what follower clusters get.
 *
 * | offset | bytes | what |
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
/** No envelope is shorter. */
export const ENVELOPE_BYTES_MIN = HEADER_BYTES;
const CURSOR_BYTES = 8;
const HAS_CURSOR = 1;

/** Who proposed an entry (P1): unique over nodes, restarts and proposals. */
export interface ProposalId {
  readonly node: number;
  /** 8 bytes as hex. */
  readonly boot: string;
  readonly sequence: number;
}

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

export interface Envelope {
  readonly kind: CommandKind;
  readonly timeMs: number;
  readonly cursor: number | undefined;
  readonly command: Buffer;
}

/** Throws UnknownCommandError for an entry that a newer version wrote: it is never skipped (A8). */
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

export function envelopeTimeMs(entry: Buffer): number {
  return entry.length < HEADER_BYTES ? 0 : entry.readUIntLE(2, 6);
}

/** The sequence when the entry was proposed by this boot of this node, else undefined. */
export function ownSequence(entry: Buffer, node: number, boot: Buffer): number | undefined {
  if (entry.readUInt32LE(8) !== node || boot.compare(entry, 12, 20) !== 0) return undefined;
  return entry.readUIntLE(20, 6);
}
