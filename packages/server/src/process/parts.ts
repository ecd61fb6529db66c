/**
 * The parts of a server. They stop from the last to the first: health says NOT_SERVING before a listener closes, the node goes
 * on while calls under way wait for it, and so does what brings it their writes; the REST listener answers probes to the end.
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
  'backups of the archive',
  'clones',
  'tidb-binlog',
  'backup agent',
  'followers of this cluster',
  'health',
] as const;

type PartName = (typeof PARTS)[number];

/** The parts of a server that have started. */
export class Parts {
  readonly #stops = new Map<PartName, (() => unknown)[]>();

  /** A part has started: `stop` is called when the server stops, or when its start fails later. */
  add(name: PartName, stop: () => unknown): void {
    this.#stops.set(name, [...(this.#stops.get(name) ?? []), stop]);
  }

  /** Stops what has started, one part after another; several of one name at once. */
  async stop(): Promise<void> {
    for (const name of PARTS.toReversed()) {
      await Promise.all((this.#stops.get(name) ?? []).map(async (stop) => await stop()));
    }
  }
}
