/**
 * The parts of a server. Those that begin to work when all are open start from the first to the last; they stop from the last
 * to the first: health says NOT_SERVING before a listener closes, the node goes on while calls under way wait for it, and so
 * does what brings it their writes; the REST listener answers probes to the end.
 */
const PARTS = [
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

/** A part of a server that is open: it has what it needs of the machine, as files, a port or a link. */
export interface Part {
  /** Begins its work, where it has any of its own. It is called when every part is open. */
  start?(): unknown;
  /** Ends its work and closes what it has open. It is also called where `start` has failed or was not reached. */
  stop(): unknown;
}

/** The parts of a server that are open, in the order of the list above, whatever order they were opened in. */
export class Parts {
  readonly #parts = new Map<PartName, Part[]>();
  #isStopping = false;

  /** Whether the server stops: nothing may be opened any more. */
  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Takes a part that is open now: it stops when the server stops, or when its start fails later. */
  add(name: PartName, part: Part): void {
    this.#parts.set(name, [...this.#named(name), part]);
  }

  /** Starts the parts one after another. Rejects with the error of the first that fails, and leaves all open. */
  async start(): Promise<void> {
    for (const name of PARTS) {
      for (const part of this.#named(name)) await part.start?.();
    }
  }

  /** Stops the parts one after another; several of one name at once. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const name of PARTS.toReversed()) {
      await Promise.all(this.#named(name).map(async (part) => await part.stop()));
    }
  }

  #named(name: PartName): readonly Part[] {
    return this.#parts.get(name) ?? [];
  }
}
