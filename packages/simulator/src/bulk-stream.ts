import type { BulkSink, BulkSource } from '@coxswain/node';
import type { NodeId } from '@coxswain/raft';
import { EventKind, type EventLoop } from './event-loop.js';
import type { SimulatedProcess } from './process.js';

/** Chunks that the stream holds before `write` makes its caller wait. */
const WINDOW_CHUNKS = 4;

type Verdict = { accepted: boolean; reason: string };
type Receive = (source: BulkSource) => Promise<Verdict>;

interface Path {
  delayUs(): number;
  /** Returns whether the stream breaks here; called once per chunk. */
  breaksNow(): boolean;
  /** Called when the stream has ended, successfully or not. */
  onEnd(): void;
}

/** The two ends of a promise, kept until the promise is settled. */
interface Waiter<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

/** One bulk stream between two processes: chunks in order, limited in number, until it ends or breaks midway. */
export class BulkStream implements BulkSink {
  #failure: Error | undefined;
  #verdict: Verdict | undefined;
  #isFinished = false;
  #hasEnded = false;
  #isFrozen = false;
  /** Chunks that were sent and that the receiver has not taken yet. */
  #chunksUnderWay = 0;
  #lastDueUs = 0;
  readonly #arrived: Buffer[] = [];
  #reader: Waiter<IteratorResult<Buffer>> | undefined;
  readonly #writers: Waiter<void>[] = [];
  #finisher: Waiter<Verdict> | undefined;

  readonly #loop: EventLoop;
  readonly #sender: SimulatedProcess;
  readonly #receiver: SimulatedProcess | undefined;
  readonly #path: Path;

  constructor(
    loop: EventLoop,
    readonly from: NodeId,
    readonly to: NodeId,
    sender: SimulatedProcess,
    receiver: SimulatedProcess | undefined,
    path: Path,
  ) {
    this.#loop = loop;
    this.#sender = sender;
    this.#receiver = receiver;
    this.#path = path;
  }

  /** Carries the header to the other side, which then begins to receive. */
  open(header: Buffer, receive: Receive): void {
    this.#carry(() => {
      const source: BulkSource = { header, [Symbol.asyncIterator]: () => this.#iterator() };
      receive(source).then(
        (verdict) => this.#answer(() => this.#conclude(verdict)),
        (error: unknown) => this.#answer(() => this.fail(String(error))),
      );
    });
  }

  write(chunk: Buffer): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#verdict !== undefined) return Promise.resolve();
    const copy = Buffer.from(chunk);
    this.#chunksUnderWay += 1;
    this.#carry(() => {
      this.#arrived.push(copy);
      this.#wakeReader();
    });
    if (this.#chunksUnderWay < WINDOW_CHUNKS) return Promise.resolve();
    return new Promise((resolve, reject) => this.#writers.push({ resolve, reject }));
  }

  finish(): Promise<Verdict> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#verdict !== undefined) return Promise.resolve(this.#verdict);
    this.#carry(() => {
      this.#isFinished = true;
      this.#wakeReader();
    });
    return new Promise((resolve, reject) => {
      this.#finisher = { resolve, reject };
    });
  }

  abort(): void {
    this.fail('aborted by the sender');
  }

  /** Stops all deliveries in both directions without any sign to either side. */
  freeze(): void {
    this.#isFrozen = true;
  }

  /** Breaks the connection under the stream: both sides see an error, each in its own time. */
  fail(reason: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#failure = new Error(reason);
    this.#path.onEnd();
    this.#loop.schedule(0, EventKind.Network, this.#sender, () => {
      for (const writer of this.#writers.splice(0)) writer.reject(this.#failure!);
      this.#finisher?.reject(this.#failure!);
    });
    this.#loop.schedule(0, EventKind.Network, this.#receiver, () => {
      this.#reader?.reject(this.#failure!);
      this.#reader = undefined;
    });
  }

  #conclude(verdict: Verdict): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#verdict = verdict;
    this.#path.onEnd();
    for (const writer of this.#writers.splice(0)) writer.resolve();
    this.#finisher?.resolve(verdict);
  }

  /** Delivers to the receiver, after everything that was sent before. */
  #carry(arrive: () => void): void {
    this.#lastDueUs = Math.max(this.#lastDueUs, this.#loop.nowUs + this.#path.delayUs());
    this.#loop.schedule(this.#lastDueUs - this.#loop.nowUs, EventKind.Network, this.#receiver, () => {
      if (this.#hasEnded || this.#isFrozen) return;
      if (this.#path.breaksNow()) this.fail('connection lost');
      else arrive();
    });
  }

  /** Delivers to the sender. */
  #answer(arrive: () => void): void {
    this.#loop.schedule(this.#path.delayUs(), EventKind.Network, this.#sender, () => {
      if (!this.#isFrozen) arrive();
    });
  }

  #wakeReader(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    if (this.#arrived.length === 0 && !this.#isFinished) return;
    this.#reader = undefined;
    reader.resolve(this.#take());
  }

  #take(): IteratorResult<Buffer> {
    const chunk = this.#arrived.shift();
    if (chunk === undefined) return { done: true, value: undefined };
    this.#chunksUnderWay -= 1;
    this.#answer(() => {
      if (this.#chunksUnderWay < WINDOW_CHUNKS) this.#writers.shift()?.resolve();
    });
    return { done: false, value: chunk };
  }

  #iterator(): AsyncIterator<Buffer> {
    return {
      next: () => {
        if (this.#failure !== undefined) return Promise.reject(this.#failure);
        if (this.#arrived.length > 0 || this.#isFinished) return Promise.resolve(this.#take());
        return new Promise((resolve, reject) => {
          this.#reader = { resolve, reject };
        });
      },
      return: () => Promise.resolve({ done: true, value: undefined }),
    };
  }
}
