import { createHash } from 'node:crypto';
import { compressToFrames, STREAM_IDENTIFIER } from '@coxswain/stream';
import { writeBaseObject } from '../../src/base-object.js';
import { type ArchivedEntry, type ArchivedShard, LogObjectWriter } from '../../src/log-object.js';
import { baseEntry, encodeGap, logEntry, ShardManifest } from '../../src/manifest.js';
import type { MemoryObjectStore } from '../../src/memory-object-store.js';
import { baseName, gapName } from '../../src/names.js';
import { collect } from './content.js';
import { EPOCH_MS, entries, SHARD } from './shard.js';

/** Returns the time at which entry `index` of `entries` is stamped, or would be, in milliseconds since 1970. */
export function timeOf(index: number): number {
  return EPOCH_MS + index * 1000;
}

/** Archives a shard as the node that leads its table does. */
export class ArchiveBuilder {
  readonly store: MemoryObjectStore;
  readonly shard: ArchivedShard;
  /** True adds stored objects to the manifest. */
  tells = true;
  #manifest: ShardManifest | undefined;
  #baseCount = 0;

  constructor(store: MemoryObjectStore, shard: Partial<ArchivedShard> = {}) {
    this.store = store;
    this.shard = { ...SHARD, ...shard };
  }

  /** Stores a log object and returns its name. */
  async log(first: number, last: number, all: ArchivedEntry[] = entries(first, last)): Promise<string> {
    const writer = new LogObjectWriter(this.shard);
    for (const entry of all) writer.add(entry);
    const object = await writer.finish();
    await this.store.put(object.name, object.content, {});
    await this.#tell(logEntry(object));
    return object.name;
  }

  /** Stores a base whose only content is its revision, and returns its name. */
  async base(revision: number, timeMs = timeOf(revision)): Promise<string> {
    const unique = createHash('sha256')
      .update(`${++this.#baseCount}`)
      .digest('hex')
      .slice(0, 16);
    const name = baseName(this.shard, revision, unique);
    const backup = Buffer.concat([STREAM_IDENTIFIER, compressToFrames(Buffer.from(`at ${revision}`))]);
    const info = { ...this.shard, revision, timeMs };
    const pieces = (async function* () {
      yield backup;
    })();
    const content = Buffer.concat(await collect(writeBaseObject(info, pieces)));
    const stored = await this.store.put(name, content, {});
    await this.#tell(baseEntry(info, { name, ...stored }));
    return name;
  }

  async gap(first: number, last: number): Promise<string> {
    const name = gapName(this.shard, first, last);
    const content = encodeGap({ ...this.shard, first, last, timeMs: timeOf(last) });
    const stored = await this.store.put(name, content, {});
    await this.#tell({ kind: 'gap', name, first, last, ...stored });
    return name;
  }

  async #tell(entry: Parameters<ShardManifest['add']>[0]): Promise<void> {
    if (!this.tells) return;
    this.#manifest ??= await ShardManifest.open(this.store, this.shard, {});
    await this.#manifest.add(entry, {});
  }
}
