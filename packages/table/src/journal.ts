import { ByteReader } from './byte-reader.js';
import type { ByteWriter } from './byte-writer.js';

/** A key that changed at a revision. */
export interface Change {
  readonly revision: number;
  /** The key's latest store key; see `latestKey`. */
  readonly storeKey: Buffer;
}

/** Appends the changes of a batch, whose revisions never fall. */
export function writeJournal(writer: ByteWriter, changes: readonly Change[]): void {
  let revision = 0;
  for (const change of changes) {
    writer.varint(change.revision - revision);
    writer.varint(change.storeKey.length - 1);
    writer.bytes(change.storeKey, 1);
    revision = change.revision;
  }
}

/** Yields the keys that a batch changed, in order. They share the journal's memory. */
export function* readJournal(
  journal: Buffer,
): Generator<{ readonly revision: number; readonly key: Buffer }> {
  const reader = new ByteReader(journal);
  let revision = 0;
  while (!reader.atEnd) {
    revision += reader.varint();
    yield { revision, key: reader.bytes(reader.varint()) };
  }
}
