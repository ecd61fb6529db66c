import type { WalFile } from './types.js';

const SEGMENT_NAME = /^([0-9a-f]{8})\.wal$/;
const SPARE_NAME = /^[0-9a-f]{8}\.spare$/;

/** The name of prepared space that no segment uses yet, kept for hard states and compactions on a full disk (D6). */
export const RESERVE_NAME = 'reserve';
/** The name of a file that is being made; found at start it is the remains of a crash. */
export const PREPARING_NAME = 'preparing';

export function segmentName(number: number): string {
  return `${number.toString(16).padStart(8, '0')}.wal`;
}

/** Returns the name that a released segment has until its space is used again. */
export function spareName(number: number): string {
  return `${number.toString(16).padStart(8, '0')}.spare`;
}

/** Returns the number of the segment with that name; undefined when the name is not a segment's. */
export function segmentNumber(name: string): number | undefined {
  const match = SEGMENT_NAME.exec(name);
  return match === null ? undefined : Number.parseInt(match[1]!, 16);
}

export function isSpareName(name: string): boolean {
  return SPARE_NAME.test(name);
}

/** One file of the log. */
export class Segment {
  /** The end of the segment's durable content, in bytes; 0 when there is none yet. */
  endBytes = 0;
  /** The bytes of records of entries that some group still needs. */
  liveBytes = 0;
  /** The append whose durability makes sure that nothing here is needed, once `liveBytes` is 0. */
  deadSince: number | undefined;

  constructor(
    readonly number: number,
    readonly file: WalFile,
  ) {}

  get name(): string {
    return segmentName(this.number);
  }
}

/** The segments of the log by number, ascending and without a gap. */
export type SegmentTable = Map<number, Segment>;
