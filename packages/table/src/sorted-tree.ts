import sortedBtree from 'sorted-btree';

// The package is CommonJS: its default export is a property of the value that Node imports.
const BTree = sortedBtree.default;

/** A map in the order of its keys, which are Latin-1 strings; see `keyId`. */
export type SortedTree<Value> = InstanceType<typeof BTree<string, Value>>;

/** Makes a map of entries, in the order of their keys. */
export function newSortedTree<Value>(entries: [string, Value][] = []): SortedTree<Value> {
  return new BTree<string, Value>(entries, compareIds);
}

/**
 * Returns the bytes of a key from `start` on as a Latin-1 string, which has one character per byte. Strings are equal
 * and ordered as the bytes are, and much cheaper to compare and to look up than buffers.
 */
export function keyId(key: Buffer, start = 0): string {
  return key.toString('latin1', start);
}

/** Returns the bytes from which `keyId` made a string. */
export function keyOfId(id: string): Buffer {
  return Buffer.from(id, 'latin1');
}

/** Compares two ids in byte order. Returns a negative number, zero or a positive number. */
export function compareIds(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
