import type { RecordPage } from './record-page.js';

/**
 * The memory that the pages of all tables of a node may take together. When they exceed it, the page that was used
 * longest ago is evicted.
 */
export class PageBudget {
  readonly #bytesMax: number;
  readonly #sizes = new Map<RecordPage, number>();
  #bytes = 0;
  #oldest: RecordPage | undefined;
  #newest: RecordPage | undefined;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** About how many bytes of memory the pages take now. */
  get usedBytes(): number {
    return this.#bytes;
  }

  /**
   * Accounts for a page that was made or has changed its size. When there is no room for it, other pages are evicted,
   * and at last the page itself.
   */
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

  /** Marks a page as used now. */
  touch(page: RecordPage): void {
    if (page === this.#newest) return;
    this.#unlink(page);
    this.#append(page);
  }

  /** Removes a page that its owner has dropped. */
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
