import {
  type Entry,
  EntryType,
  type HardState,
  type Membership,
  type SnapshotMetadata,
} from '@coxswain/raft';
import { microtasks } from '@coxswain/testing';
import type { GroupWrite, WalDisk } from '../src/types.js';
import { Wal, type WalOptions } from '../src/wal.js';

export const MEMBERSHIP: Membership = { voters: [1, 2, 3], learners: [] };
export const SEGMENT_SIZE_BYTES = 8192;

export function openWal(disk: WalDisk, options: Partial<WalOptions> = {}): Promise<Wal> {
  return Wal.open({
    disk,
    segmentSizeBytes: SEGMENT_SIZE_BYTES,
    entryCacheBytesMax: 4096,
    now: () => 0,
    onSync: () => undefined,
    onFatal: () => undefined,
    ...options,
  });
}

export function entry(index: number, term: number, data = `entry ${index}`): Entry {
  return { index, term, type: EntryType.Normal, data: Buffer.from(data) };
}

export function entriesOf(term: number, from: number, to: number, dataBytes = 20): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, term, 'x'.repeat(dataBytes)));
}

export function point(index: number, term: number): SnapshotMetadata {
  return { index, term, membership: MEMBERSHIP };
}

export function hardState(term: number, vote = 0, commit = 0): HardState {
  return { term, vote, commit };
}

/** The write that begins a group. */
export function newGroup(group: number): GroupWrite {
  return { group, reset: point(0, 0) };
}

/** All that readers see of a log, in a form that tests compare. */
export function contentOf(wal: Wal): unknown {
  return [...wal.groups()]
    .sort((a, b) => a.group - b.group)
    .map((log) => ({
      group: log.group,
      hardState: log.hardState,
      truncated: log.truncated,
      entries: log
        .entries(log.firstIndex(), log.lastIndex() + 1, Number.MAX_SAFE_INTEGER)
        .map(({ index, term, type, data }) => ({ index, term, type, data: data.toString('latin1') })),
    }));
}

/** An append of a process that will not live to see its end. */
export function appendInVain(wal: Wal, writes: readonly GroupWrite[]): void {
  wal.append(writes).catch(() => undefined);
}

/** Lets promises that wait for nothing but each other settle. */
export function settle(): Promise<void> {
  return microtasks(50);
}
