/** A part of a node's data, which may be on a disk of its own. */
export type DataPart = 'files' | 'log' | 'tables';

/** The room that is left on one of the disks that hold a node's data. */
export interface DiskRoom {
  /** The path at which the disk is mounted. */
  readonly disk: string;
  /** The outermost directory of the node's data on the disk. */
  readonly directory: string;
  /** The parts of the node's data on the disk. */
  readonly holds: ReadonlySet<DataPart>;
  /** The bytes that a process without privileges may still write. */
  readonly freeBytes: number;
  /** The size of the disk's file system in bytes. */
  readonly sizeBytes: number;
}

/** A disk that has less room than the node wants. */
export interface DiskShortage {
  readonly disk: string;
  readonly directory: string;
  readonly freeBytes: number;
  readonly wantedBytes: number;
}

/** node.json and peers.json are written aside before they replace the old files. */
const FILES_BYTES = 1024 * 1024;
/** The segment that is written, the next one, and the reserve of the log. */
const NEW_LOG_SEGMENTS = 3;

/** The options that decide how much room each part of the data wants (D6). */
export interface RoomOptions {
  readonly storeWriteBufferBytes: number;
  readonly walSegmentSizeBytes: number;
}

/**
 * Gives the room, in bytes, that each part of the data wants. With less a node takes no writes: those under way, a
 * checkpoint and a compaction must still fit.
 */
export function roomWanted(options: RoomOptions, isLogFull: boolean): Readonly<Record<DataPart, number>> {
  return {
    files: FILES_BYTES,
    // The log has its space ahead of need, so it reports itself when it lacks more.
    log: isLogFull ? options.walSegmentSizeBytes : 0,
    tables: 2 * options.storeWriteBufferBytes,
  };
}

/** Gives the room, in bytes, that each part of the data of a new node wants before it takes writes. */
export function roomWantedByNew(options: RoomOptions): Readonly<Record<DataPart, number>> {
  return { ...roomWanted(options, false), log: NEW_LOG_SEGMENTS * options.walSegmentSizeBytes };
}

/** Gives the disk that lacks most room; undefined when each has what its parts want together. */
export function shortageOf(
  rooms: readonly DiskRoom[],
  wanted: Readonly<Record<DataPart, number>>,
): DiskShortage | undefined {
  const [worst] = rooms
    .map(({ disk, directory, freeBytes, holds }) => {
      const of = (part: DataPart) => (holds.has(part) ? wanted[part] : 0);
      // The small files find their place in what the tables want; the log takes its own for good.
      const wantedBytes = of('log') + Math.max(of('files'), of('tables'));
      return { disk, directory, freeBytes, wantedBytes };
    })
    .filter(({ freeBytes, wantedBytes }) => freeBytes < wantedBytes)
    .sort((a, b) => a.freeBytes - a.wantedBytes - (b.freeBytes - b.wantedBytes));
  return worst;
}

/** Describes a shortage: `the disk at /data (for /data/coxswain) has 16.0 KiB left, and 64.0 MiB are wanted`. */
export function describeShortage({ disk, directory, freeBytes, wantedBytes }: DiskShortage): string {
  return `the disk at ${disk} (for ${directory}) has ${formatBytes(freeBytes)} left, and ${formatBytes(wantedBytes)} are wanted`;
}

function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let size = bytes;
  let unit = 0;
  for (; size >= 1024 && unit < units.length - 1; unit++) size /= 1024;
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}
