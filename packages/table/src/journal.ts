import { ByteReader } from './byte-reader.js';
import type { ByteWriter } from './byte-writer.js';

/** A key that changed at a revision. */
export interface Change {
  readonly revision: number;
  readonly key: Buffer;
}

/** Appends the changes of a batch, whose revisions never fall. */
export function writeJournal(writer: ByteWriter, changes: readonly Change[]): void {
  let revision = 0;
  for (const change of changes) {
    writer.varint(change.revision - revision);
    writer.varint(change.key.length);
    writer.bytes(change.key);
    revision = change.revision;
  }
}

/** The changes of a batch in order. Keys share the journal's memory. */
export function* readJournal(journal: Buffer): Generator<Change> {
  const reader = new ByteReader(journal);
  let revision = 0;
  while (!reader.atEnd) {
    revision += reader.varint();
    yield { revision, key: reader.bytes(reader.varint()) };
  }
}
