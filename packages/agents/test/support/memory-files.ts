import type { SmallFiles } from '@coxswain/node';

/** Keeps small files in memory. */
export class MemoryFiles implements Pick<SmallFiles, 'read' | 'replace'> {
  readonly contents = new Map<string, Buffer>();
  /** The error with which every replacement fails; undefined when none does. */
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
