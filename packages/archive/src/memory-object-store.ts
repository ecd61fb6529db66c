import { createHash } from 'node:crypto';
import { archiveErrors } from './errors.js';
import {
  checkFolder,
  checkName,
  checkPrefix,
  type ObjectStore,
  PIECE_SIZE_BYTES_MAX,
  type PutResult,
  type StoreCall,
  type StoredObject,
} from './store.js';

/** Keeps objects in memory, for tests that change stored objects or make the store unreachable. */
export class MemoryObjectStore implements ObjectStore {
  readonly url = 'memory:///';
  readonly objects = new Map<string, Buffer>();
  /** True makes every operation fail, as when the store cannot be reached. */
  isAway = false;
  /** The size of the pieces in which objects are read, in bytes. */
  pieceBytes = PIECE_SIZE_BYTES_MAX;
  /** The number of objects that can still be deleted before the store fails. */
  deletesLeft = Number.POSITIVE_INFINITY;

  async put(name: string, content: Buffer | AsyncIterable<Buffer>, call: StoreCall): Promise<PutResult> {
    checkName(name);
    this.#check(call);
    const pieces: Buffer[] = [];
    for await (const piece of Buffer.isBuffer(content) ? [content] : content) {
      this.#check(call);
      pieces.push(piece);
    }
    const whole = Buffer.concat(pieces);
    this.objects.set(name, whole);
    return { sizeBytes: whole.length, sha256: createHash('sha256').update(whole).digest('hex') };
  }

  async *get(name: string, call: StoreCall): AsyncGenerator<Buffer, void, undefined> {
    checkName(name);
    this.#check(call);
    const content = this.objects.get(name);
    if (!content) throw archiveErrors.objectMissing(this.url, name);
    for (let at = 0; at < content.length; at += this.pieceBytes) {
      this.#check(call);
      yield content.subarray(at, at + this.pieceBytes);
    }
  }

  async *list(prefix: string, call: StoreCall): AsyncGenerator<StoredObject, void, undefined> {
    checkPrefix(prefix);
    this.#check(call);
    for (const name of [...this.objects.keys()].sort()) {
      const content = this.objects.get(name);
      if (content && name.startsWith(prefix)) yield { name, sizeBytes: content.length };
    }
  }

  async *folders(prefix: string, call: StoreCall): AsyncGenerator<string, void, undefined> {
    checkFolder(prefix);
    this.#check(call);
    const below = [...this.objects.keys()].filter((name) => name.startsWith(prefix));
    const parts = below.map((name) => name.slice(prefix.length).split('/'));
    yield* new Set(parts.filter(({ length }) => length > 1).map(([folder]) => folder!));
  }

  async delete(name: string, call: StoreCall): Promise<void> {
    checkName(name);
    this.#check(call);
    if (--this.deletesLeft < 0) throw archiveErrors.storeUnreachable(this.url, 'it is away');
    this.objects.delete(name);
  }

  async removeLeftovers(): Promise<number> {
    return 0;
  }

  async close(): Promise<void> {
    // Nothing to let go of.
  }

  #check(call: StoreCall): void {
    if (call.signal?.aborted) throw archiveErrors.aborted(this.url, 'an operation');
    if (this.isAway) throw archiveErrors.storeUnreachable(this.url, 'it is away');
  }
}
