import type { SmallFiles } from '@coxswain/node';

/** Small files in memory. */
export class MemoryFiles implements Pick<SmallFiles, 'read' | 'replace'> {
  readonly contents = new Map<string, Buffer>();
  /** What every replacement fails with. */
  failure: Error | undefined;

  read(name: string): Promise<Buffer | undefined> {
    return Promise.resolve(this.contents.get(name));
  }

  replace(name: string, content: Buffer): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    this.contents.set(name, content);
    return Promise.resolve();
  }
}
