import { errors } from '../api/errors.js';

/** The conditions under which a node refuses writes. */
export interface WriteGateOptions {
  readonly isStopping: () => boolean;
  readonly isDiskFull: () => boolean;
  /** Whether so much waits to be archived that the archive's backlog may not grow (archive.on-limit). */
  readonly isArchiveBehind: () => boolean;
  /** Throws `cloning` while a clone fills the cluster, and `cloneFailed` after one has failed. */
  readonly checkClone: () => void;
}

/** Decides whether this node takes writes now. */
export class WriteGate {
  readonly #options: WriteGateOptions;

  constructor(options: WriteGateOptions) {
    this.#options = options;
  }

  get isStopping(): boolean {
    return this.#options.isStopping();
  }

  /** Throws `shuttingDown` or `diskFull` (D6) when nothing may be proposed. */
  checkWrite(): void {
    if (this.#options.isStopping()) throw errors.shuttingDown();
    if (this.#options.isDiskFull()) throw errors.diskFull();
  }

  /**
   * Checks whether a command that would be archived may be proposed: also throws `archiveBehind`, `cloning` and
   * `cloneFailed`.
   */
  checkCommand(): void {
    this.checkWrite();
    if (this.#options.isArchiveBehind()) throw errors.archiveBehind();
    this.#options.checkClone();
  }
}
