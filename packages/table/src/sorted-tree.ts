import sortedBtree from 'sorted-btree';

// The package is CommonJS: its default export is a property of what Node imports.
const BTree = sortedBtree.default;

/** A map in the order of its keys, which are Latin-1 strings; see `keyId`. */
export type SortedTree<Value> = InstanceType<typeof BTree<string, Value>>;

export function newSortedTree<Value>(entries: [string, Value][] = []): SortedTree<Value> {
  return new BTree<string, Value>(entries, compareIds);
}

/**
 * A key as a Latin-1 string, which has one character per byte: equal and ordered as the bytes are, and much
 * cheaper to compare and to look up than a buffer.
 */
export function keyId(key: Buffer, start = 0): string {
  return key.toString('latin1', start);
}

/** The key that `keyId` was given. */
export function keyOfId(id: string): Buffer {
  return Buffer.from(id, 'latin1');
}

/** Byte order. */
export function compareIds(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
