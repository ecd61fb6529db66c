/**
 * The names of a server's parts, in the order in which they start. They stop in reverse: health turns NOT_SERVING
 * before a listener closes; the node, and the parts that bring it writes, go on while calls under way wait for them;
 * the REST listener answers probes to the end.
 */
const PARTS = [
  'tracing',
  'data directory',
  'rest listener',
  'node',
  'link to the leader cluster',
  'follower',
  'archive store',
  'archiver',
  'restores',
  'snapshot downloads',
  'listener',
  'events',
  'backups of the archive',
  'clones',
  'tidb-binlog',
  'backup agent',
  'followers of this cluster',
  'health',
] as const;

type PartName = (typeof PARTS)[number];

/** A part of a server that is open: it has the files, ports or links that it needs. */
export interface Part {
  /** Begins the part's work, if it has any of its own. Called when every part is open. */
  start?(): unknown;
  /**
   * Ends the part's work, and closes its files, ports or links. Also called when `start` has failed or was not reached.
   */
  stop(): unknown;
}

/**
 * The open parts of a server, in the order of their names in this file's list, whatever the order in which they were
 * opened.
 */
export class Parts {
  readonly #parts = new Map<PartName, Part[]>();
  #isStopping = false;

  /** True when the server is stopping, so that nothing may be opened any more. */
  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Adds a part that is open now. It is stopped when the server stops, or when the server's start fails later. */
  add(name: PartName, part: Part): void {
    this.#parts.set(name, [...this.#named(name), part]);
  }

  /** Starts the parts one after another. Rejects with the error of the first that fails, and leaves all parts open. */
  async start(): Promise<void> {
    for (const name of PARTS) {
      for (const part of this.#named(name)) await part.start?.();
    }
  }

  /**
   * Stops the parts one after another; parts of the same name at the same time. Also stops a part that one of the same
   * name added while it stopped, as one whose opening was under way does.
   */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const name of PARTS.toReversed()) {
      for (let begun = 0; begun < this.#named(name).length; ) {
        const open = this.#named(name).slice(begun);
        begun += open.length;
        await Promise.all(open.map(async (part) => await part.stop()));
      }
    }
  }

  #named(name: PartName): readonly Part[] {
    return this.#parts.get(name) ?? [];
  }
}
