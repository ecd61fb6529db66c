import type { RecordPage } from './record-page.js';

/** What the pages of all tables of a node may take in memory together. The one that was used longest ago goes first. */
export class PageBudget {
  readonly #bytesMax: number;
  readonly #sizes = new Map<RecordPage, number>();
  #bytes = 0;
  #oldest: RecordPage | undefined;
  #newest: RecordPage | undefined;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** About what the pages take now. */
  get usedBytes(): number {
    return this.#bytes;
  }

  /** A page was made, or has changed its size. Others, and at last it itself, go where there is no room for it. */
  account(page: RecordPage): void {
    const before = this.#sizes.get(page);
    const { sizeBytes } = page;
    this.#sizes.set(page, sizeBytes);
    this.#bytes += sizeBytes - (before ?? 0);
    if (before === undefined) this.#append(page);
    while (this.#bytes > this.#bytesMax) {
      const oldest = this.#oldest!;
      this.remove(oldest);
      oldest.evict(oldest);
    }
  }

  /** It is used now. */
  touch(page: RecordPage): void {
    if (page === this.#newest) return;
    this.#unlink(page);
    this.#append(page);
  }

  /** Its owner has dropped it. */
  remove(page: RecordPage): void {
    const sizeBytes = this.#sizes.get(page);
    if (sizeBytes === undefined) return;
    this.#sizes.delete(page);
    this.#bytes -= sizeBytes;
    this.#unlink(page);
  }

  #append(page: RecordPage): void {
    page.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = page;
    else this.#newest.newer = page;
    this.#newest = page;
  }

  #unlink(page: RecordPage): void {
    const { older, newer } = page;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    page.older = undefined;
    page.newer = undefined;
  }
}
