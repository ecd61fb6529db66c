import type { BufferedStore } from '../src/buffered-store.js';
import type { Write } from '../src/effects.js';
import type { Operation } from '../src/index.js';

/** As a table writes: of a put is known whether it is the key's first record, and what is not there is not deleted. */
export function asTablesWrite(store: BufferedStore, operations: readonly Operation[]): Write[] {
  const isStored = new Map<string, boolean>();
  return operations.flatMap(({ storeKey, record }) => {
    const id = storeKey.toString('latin1');
    const wasStored = isStored.get(id) ?? store.getSync(storeKey) !== undefined;
    isStored.set(id, record !== undefined);
    return wasStored || record !== undefined ? [{ storeKey, record, isNew: !wasStored }] : [];
  });
}
