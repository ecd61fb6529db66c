import { type Coxswain, CoxswainError, toEnd } from '@coxswain/client';

/** The state of a table, as a client knew it when a write was answered. */
export class Point {
  readonly #pairs: ReadonlyMap<string, string>;

  constructor(
    readonly revision: number,
    readonly timeMs: number,
    pairs: ReadonlyMap<string, string>,
  ) {
    this.#pairs = new Map(pairs);
  }

  get content(): string {
    return textOf(this.#pairs);
  }
}

const KEY_COUNT = 50;
/**
 * Milliseconds between two writes. The tests find what they look for in any hundred writes; more would only heat the
 * machine.
 */
const PAUSE_MS = 5;

/** Writes a table one put after the other, each until it is answered, and remembers what the table was then. */
export class ModelWriter {
  readonly points: Point[] = [];
  /** The table as it would be with the write that had no answer when the writer was stopped. */
  unanswered: string | undefined;
  readonly #pairs = new Map<string, string>();
  readonly #client: Coxswain;
  readonly #table: string;
  #isStopped = false;
  #running: Promise<void> | undefined;

  constructor(client: Coxswain, table: string) {
    this.#client = client;
    this.#table = table;
  }

  get last(): Point {
    return this.points.at(-1)!;
  }

  /** Returns the state of the table at a revision. */
  at(revision: number): Point {
    return this.points.findLast((point) => point.revision <= revision)!;
  }

  start(): void {
    this.#isStopped = false;
    this.#running = (async () => {
      while (!this.#isStopped) {
        await this.write();
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    })();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    this.#running = undefined;
  }

  async write(value = `value-${this.points.length}`): Promise<void> {
    const key = `key-${this.points.length % KEY_COUNT}`;
    for (;;) {
      try {
        const { header } = await this.#client.put(this.#table, key, value);
        this.#pairs.set(key, value);
        this.#remember(Number(header!.revision));
        return;
      } catch (error) {
        if (!(error instanceof CoxswainError)) throw error;
        // It may have happened; done twice it is the same.
        if (this.#running === undefined || !this.#isStopped) continue;
        this.unanswered = textOf(new Map(this.#pairs).set(key, value));
        return;
      }
    }
  }

  /** Deletes the keys of [first, end), as a mistaken client does, and returns the revision of that. */
  async deleteRange(first: string, end: string): Promise<number> {
    const { header } = await this.#client.deleteRange(this.#table, first, { rangeEnd: end });
    for (const key of [...this.#pairs.keys()]) if (key >= first && key < end) this.#pairs.delete(key);
    this.#remember(Number(header!.revision));
    return this.last.revision;
  }

  #remember(revision: number): void {
    this.points.push(new Point(revision, Date.now(), this.#pairs));
  }
}

/** Returns the content of a table in the form that a point has. */
export async function contentAsText(client: Coxswain, table: string): Promise<string> {
  const pairs = new Map<string, string>();
  for await (const { key, value } of client.iterateRange(table, toEnd, { rangeEnd: toEnd })) {
    pairs.set(key.toString(), value.toString());
  }
  return textOf(pairs);
}

const textOf = (pairs: ReadonlyMap<string, string>): string => JSON.stringify([...pairs].sort());
