import type { ServerStream } from './server-stream.js';

/** Milliseconds between two looks for slow readers, while somebody waits for the memory that they hold. */
const LOOK_MS = 1_000;
/** A reader to whom less than this was sent at two looks in a row is slow: 32 KiB a second. */
const SLOW_BYTES_PER_SECOND = 32 * 1024;
const SLOW_LOOKS = 2;
/** The factor by which looks for slow readers are more frequent while the node stops, which must end within seconds. */
const LEAVING_HURRY = 4;
/** A stream whose own window is below one frame is held up by that window, whatever its connection lets through. */
const WINDOW_BYTES_MIN = 16 * 1024;
/** The part of the room for answers that is kept for connections that hold none. */
const NEWCOMERS_SHARE = 1 / 4;
/** The way in which a connection has read its answers so far, see `MemoryAccount.standing`. */
type Standing = 'newcomer' | 'reader' | 'debtor';
/**
 * The part of the room for answers that all connections of a standing may take together. A single answer may exceed it.
 */
const SHARES: Readonly<Record<Standing, number>> = { reader: 1, newcomer: 1 / 8, debtor: 1 / 16 };

export interface HeldMemoryOptions {
  /** Bytes that requests may take until they are answered, and answers until they are sent, over all connections. */
  readonly heldBytesMax: number;
  /** The part of those bytes that may go to answers made ahead of sending, see `ServerStream.reserve`. */
  readonly answerBytesMax: number;
  /** Milliseconds between two looks for slow readers; 1000 by default. */
  readonly lookMs?: number;
}

/** The parts of a connection that the shared memory uses. */
export interface MemoryHolder {
  /** Resets the stream and cancels its work. */
  giveUp(stream: ServerStream): void;
  /** The bytes of DATA that the window and the socket let through now. */
  readonly allowedBytes: number;
  /**
   * True when the client's acknowledgements show that it has read nearly everything that was sent. Bytes that the
   * system has accepted prove nothing: they may lie in its buffers, which hold megabytes.
   */
  readonly isReading: boolean;
  /** Closes the connection, when cancelling its streams would free nothing. */
  breakOff(): void;
  /** Bytes that have left for the client since the connection began. */
  readonly sentBytes: number;
  /** The part of `sentBytes` that the system has not accepted from this process yet. */
  readonly untakenBytes: number;
  readonly streamCount: number;
  readonly streams: Iterable<ServerStream>;
}

interface Waiter {
  readonly stream: ServerStream;
  /** The bytes that the waiting answer needs; 0 for a small one. */
  readonly sizeBytes: number;
  readonly done: (isGranted: boolean) => void;
}

/** The memory that one connection holds. `HeldMemory.open` makes it. */
export class MemoryAccount {
  heldBytes = 0;
  answerBytes = 0;
  /** Waiting streams that have not sent anything yet. */
  readonly first = new Map<ServerStream, Waiter>();
  /** Waiting streams whose earlier answers were read. */
  readonly again = new Map<ServerStream, Waiter>();
  /** True when `first` has the next turn, false when `again` has it. */
  isFirstNext = false;
  /** Streams that wait to send a small answer. */
  readonly small = new Map<ServerStream, Waiter>();
  /**
   * A newcomer becomes a reader when an answer that needed room has left completely. A connection becomes a debtor when
   * one of its streams was given up because it did not read, and stays one until as many bytes have left as were made
   * in vain.
   */
  standing: Standing = 'newcomer';
  debtBytes = 0;
  /** Bytes that the socket has not sent yet. */
  backlogBytes = 0;
  sentBytesAtLook = 0;
  isSlow = false;
  /**
   * The bytes that the system had accepted at the last look, and the milliseconds for which it has accepted no more
   * although there were some.
   */
  takenBytesAtLook = -1;
  stuckMs = 0;

  constructor(readonly holder: MemoryHolder) {}

  get waitingCount(): number {
    return this.first.size + this.again.size + this.small.size;
  }

  /** The stream of this connection that has the next turn. Small answers, which delay no other, come first. */
  get next(): Waiter | undefined {
    const [preferred, other] = this.isFirstNext ? [this.first, this.again] : [this.again, this.first];
    const queue = this.small.size > 0 ? this.small : preferred.size > 0 ? preferred : other;
    const [waiter] = queue.values();
    return waiter;
  }
}

/**
 * The memory that all connections of a node share. It lets a large answer be made only when there is room, first for
 * the connection that holds least. It resets a stream that is read too slowly as soon as another stream waits for that
 * memory; until then the slow one may take its time. A connection of which a stream was reset owes the bytes that were
 * made in vain: until it has read as many, it comes after all others and shares a small part of the room with other
 * debtors. No answer is made for a connection that does not read the bytes already sent, or lets nothing through. So
 * clients that do not read delay only themselves.
 */
export class HeldMemory {
  readonly #options: HeldMemoryOptions;
  readonly #accounts = new Set<MemoryAccount>();
  /** The accounts with waiting streams, the one that was served last at the end. */
  readonly #waiting = new Set<MemoryAccount>();
  #heldBytes = 0;
  #answerBytes = 0;
  /** The part of `answerBytes` that connections of each standing hold. */
  readonly #bytesOf: Record<Standing, number> = { newcomer: 0, reader: 0, debtor: 0 };
  /** True when there is no room for a stream whose standing would allow it more. */
  #isShort = false;
  #givenUpCount = 0;
  #timer: NodeJS.Timeout | undefined;
  #isLeaving = false;
  /** The account of each waiting stream. */
  readonly #waitingStreams = new Map<ServerStream, MemoryAccount>();

  constructor(options: HeldMemoryOptions) {
    this.#options = options;
  }

  /** Bytes that requests and answers take now. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** The part of `heldBytes` for answers that wait to be sent or are being made. */
  get answerBytes(): number {
    return this.#answerBytes;
  }

  /** The number of streams that were reset because they were not read, or because there was no memory left. */
  get givenUpCount(): number {
    return this.#givenUpCount;
  }

  /** The number of streams that wait for room for their next answer. */
  get waitingCount(): number {
    return this.#waitingStreams.size;
  }

  open(holder: MemoryHolder): MemoryAccount {
    const account = new MemoryAccount(holder);
    this.#accounts.add(account);
    return account;
  }

  /** Ends the waiting of all streams of a connection that is about to end. */
  withdraw({ first, again, small }: MemoryAccount): void {
    for (const stream of [...first.keys(), ...again.keys(), ...small.keys()]) this.#settle(stream, false);
  }

  /** Serves waiting streams, after a connection has shown that it reads. */
  resume(): void {
    if (this.#waiting.size > 0) this.#grant();
  }

  /** Removes an account whose streams are all gone. */
  close(account: MemoryAccount): void {
    this.#accounts.delete(account);
    this.#heldBytes -= account.backlogBytes;
    account.heldBytes -= account.backlogBytes;
    account.backlogBytes = 0;
  }

  /**
   * Prepares for the node's stop. No stream waits any more. A stream that is not read is reset within a second. A
   * connection that has only answers left, or only its end, is closed within a second when its client does not read.
   */
  leave(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    for (const [stream, account] of [...this.#waitingStreams])
      if (!isToAcknowledge(account)) this.#settle(stream, false);
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#look();
  }

  /** Whether a new stream of that size must be refused. When another connection holds more, that one pays instead. */
  isFullFor(account: MemoryAccount, sizeBytes: number): boolean {
    return this.#heldBytes + sizeBytes > this.#options.heldBytesMax && this.#largest() === account;
  }

  /**
   * Counts `sizeBytes` more for a stream, or less when negative. When the total is too much, it gives streams up, maybe
   * this one.
   */
  hold(account: MemoryAccount, stream: ServerStream, sizeBytes: number): void {
    stream.heldBytes += sizeBytes;
    account.heldBytes += sizeBytes;
    this.#heldBytes += sizeBytes;
    if (sizeBytes > 0 && this.#heldBytes > this.#options.heldBytesMax) this.#relieve(account, stream);
  }

  /**
   * Counts `sizeBytes` more, or less, for the part of the stream's answer that is not sent yet or for which room is
   * reserved; otherwise like `hold`.
   */
  holdAnswer(account: MemoryAccount, stream: ServerStream, sizeBytes: number): void {
    if (stream.answerBytes === 0) {
      stream.sentBytesAtLook = stream.sentBytes;
      stream.slowLooks = 0;
    }
    stream.answerBytes += sizeBytes;
    account.answerBytes += sizeBytes;
    this.#answerBytes += sizeBytes;
    this.#bytesOf[account.standing] += sizeBytes;
    if (stream.answerBytes === 0 && account.standing === 'newcomer') this.#changeStanding(account, 'reader');
    if (sizeBytes > 0 && this.#isTight) this.#look();
    this.hold(account, stream, sizeBytes);
    if (sizeBytes < 0 && this.#waiting.size > 0) this.#grant();
  }

  /** Records the bytes that the socket of a connection has yet to send. */
  holdBacklog(account: MemoryAccount, backlogBytes: number): void {
    const grownBytes = backlogBytes - account.backlogBytes;
    account.backlogBytes = backlogBytes;
    account.heldBytes += grownBytes;
    this.#heldBytes += grownBytes;
    if (grownBytes > 0 && this.#heldBytes > this.#options.heldBytesMax) this.#relieve(account, undefined);
  }

  /** Forgets a stream that is gone: it holds nothing and waits for nothing. */
  forget(account: MemoryAccount, stream: ServerStream): void {
    if (this.#waitingStreams.size > 0) this.#settle(stream, false);
    account.heldBytes -= stream.heldBytes;
    this.#heldBytes -= stream.heldBytes;
    stream.heldBytes = 0;
    const { answerBytes } = stream;
    if (answerBytes === 0) return;
    stream.answerBytes = 0;
    account.answerBytes -= answerBytes;
    this.#answerBytes -= answerBytes;
    this.#bytesOf[account.standing] -= answerBytes;
    if (this.#waiting.size > 0) this.#grant();
  }

  /** Reserves room for a part of a stream's answer, see `ServerStream.reserve`. */
  reserve(account: MemoryAccount, stream: ServerStream, sizeBytes: number): Promise<boolean> | undefined {
    if ((sizeBytes === 0 || this.#waiting.size === 0) && this.#hasRoom(account, sizeBytes)) {
      this.#take(account, stream, sizeBytes);
      return undefined;
    }
    if (this.#isLeaving && !isToAcknowledge(account)) return Promise.resolve(false);
    return new Promise((done) => {
      const read = stream.sentBytes > 0 ? account.again : account.first;
      const waiters = sizeBytes === 0 ? account.small : read;
      waiters.set(stream, { stream, sizeBytes, done });
      this.#waitingStreams.set(stream, account);
      this.#waiting.add(account);
      this.#grant();
      this.#look();
    });
  }

  get #lookMs(): number {
    return this.#options.lookMs ?? LOOK_MS;
  }

  /** True when streams may soon have to be given up, so that it must be known which are not read. */
  get #isTight(): boolean {
    return this.#heldBytes > this.#options.heldBytesMax / 2;
  }

  #take(account: MemoryAccount, stream: ServerStream, sizeBytes: number): void {
    if (sizeBytes === 0) return;
    stream.reservedBytes += sizeBytes;
    this.holdAnswer(account, stream, sizeBytes);
  }

  #hasRoom(account: MemoryAccount, sizeBytes: number): boolean {
    if (!this.#mayHold(account, sizeBytes)) return false;
    const { answerBytesMax } = this.#options;
    const limit = account.answerBytes === 0 ? answerBytesMax : answerBytesMax * (1 - NEWCOMERS_SHARE);
    return this.#answerBytes === 0 || this.#answerBytes + sizeBytes <= limit;
  }

  /** Whether a connection may hold `sizeBytes` more, provided that there is room. */
  #mayHold(account: MemoryAccount, sizeBytes: number): boolean {
    if (sizeBytes === 0) return true;
    if (isShut(account)) return false;
    const { standing } = account;
    const heldBytes = this.#bytesOf[standing];
    return heldBytes === 0 || heldBytes + sizeBytes <= this.#options.answerBytesMax * SHARES[standing];
  }

  /**
   * Serves waiting streams as far as there is room: first the connection that holds least, then the one that has waited
   * longest.
   */
  #grant(): void {
    this.#isShort = false;
    while (this.#waiting.size > 0) {
      let account: MemoryAccount | undefined;
      for (const other of this.#waiting) {
        if (!this.#mayHold(other, other.next!.sizeBytes)) continue;
        if (account === undefined || isBefore(other, account)) account = other;
      }
      if (account === undefined) return;
      const { stream, sizeBytes } = account.next!;
      if (!this.#hasRoom(account, sizeBytes)) {
        this.#isShort = true;
        return;
      }
      if (sizeBytes > 0) account.isFirstNext = !account.isFirstNext;
      // Moves to the end, after the connections that hold as little.
      this.#waiting.delete(account);
      this.#waiting.add(account);
      this.#settle(stream, true);
    }
  }

  /** Ends the waiting of a stream, if it waits. */
  #settle(stream: ServerStream, isGranted: boolean): void {
    const account = this.#waitingStreams.get(stream);
    if (account === undefined) return;
    const { first, again, small } = account;
    const waiter = again.get(stream) ?? first.get(stream) ?? small.get(stream);
    this.#waitingStreams.delete(stream);
    for (const waiters of [first, again, small]) waiters.delete(stream);
    if (account.waitingCount === 0) this.#waiting.delete(account);
    if (isGranted) this.#take(account, stream, waiter!.sizeBytes);
    waiter!.done(isGranted);
  }

  /** Begins to look for slow readers, and continues as long as somebody waits for the memory that they hold. */
  #look(): void {
    if (this.#timer !== undefined) return;
    for (const account of this.#accounts) this.#lookAt(account, 0);
    for (const [stream] of this.#unsent()) {
      stream.sentBytesAtLook = stream.sentBytes;
      stream.slowLooks = 0;
    }
    const lookMs = this.#lookMs / (this.#isLeaving ? LEAVING_HURRY : 1);
    this.#timer = setInterval(() => {
      this.#markSlow(lookMs);
      this.#giveUpSlow();
      if (this.#isLeaving) this.#breakOffStuck();
      const isNeeded =
        this.#waiting.size > 0 || this.#isTight || (this.#isLeaving && this.#accounts.size > 0);
      if (isNeeded) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    }, lookMs);
    this.#timer.unref();
  }

  /** Yields the streams with answers that are not sent completely. */
  *#unsent(): Generator<[stream: ServerStream, account: MemoryAccount], void, undefined> {
    for (const account of this.#accounts) {
      for (const stream of account.holder.streams) if (stream.answerBytes > 0) yield [stream, account];
    }
  }

  /**
   * Updates the account with the bytes that have left for the client since the last look, `sinceMs` milliseconds ago,
   * and returns their number.
   */
  #lookAt(account: MemoryAccount, sinceMs: number): number {
    const { sentBytes, untakenBytes, streamCount, isReading } = account.holder;
    const newlySentBytes = sentBytes - account.sentBytesAtLook;
    account.sentBytesAtLook = sentBytes;
    this.#owe(account, -newlySentBytes);
    const takenBytes = sentBytes - untakenBytes;
    // A connection with streams and nothing to send waits for their handlers, so it is not stuck. One without streams
    // counts as stuck only while the node stops.
    const isOver = this.#isLeaving && (streamCount === 0 || !isReading);
    const isStuck = takenBytes === account.takenBytesAtLook && (untakenBytes > 0 || isOver);
    account.takenBytesAtLook = takenBytes;
    account.stuckMs = isStuck ? account.stuckMs + sinceMs : 0;
    return newlySentBytes;
  }

  /** Adds to the debt of a connection, or reduces it when negative, and changes its standing accordingly. */
  #owe(account: MemoryAccount, sizeBytes: number): void {
    account.debtBytes = Math.max(0, account.debtBytes + sizeBytes);
    if (account.debtBytes > 0) this.#changeStanding(account, 'debtor');
    else if (account.standing === 'debtor') this.#changeStanding(account, 'reader');
  }

  #changeStanding(account: MemoryAccount, standing: Standing): void {
    this.#bytesOf[account.standing] -= account.answerBytes;
    this.#bytesOf[standing] += account.answerBytes;
    account.standing = standing;
  }

  #markSlow(lookMs: number): void {
    const bytesMin = (SLOW_BYTES_PER_SECOND * lookMs) / 1_000;
    for (const account of this.#accounts) account.isSlow = this.#lookAt(account, lookMs) < bytesMin;
    for (const [stream, account] of this.#unsent()) {
      const sentBytes = stream.sentBytes - stream.sentBytesAtLook;
      stream.sentBytesAtLook = stream.sentBytes;
      // A stream whose answer is still being made, or that waits in line on a connection that reads well, is not slow.
      const isHeldUp = account.isSlow || stream.sendWindowBytes < WINDOW_BYTES_MIN;
      const isSlow = stream.waitingBytes > 0 && isHeldUp && sentBytes < bytesMin;
      stream.slowLooks = isSlow ? stream.slowLooks + 1 : 0;
    }
    // A debtor that has read enough may get room now.
    this.resume();
  }

  /** Gives up slow streams for whose memory others wait, those that hold most first. */
  #giveUpSlow(): void {
    const slow = [...this.#unsent()].filter(([stream]) => stream.slowLooks >= SLOW_LOOKS);
    slow.sort(
      ([stream, account], [other, otherAccount]) =>
        otherAccount.answerBytes - account.answerBytes || other.answerBytes - stream.answerBytes,
    );
    for (const [stream, account] of slow) {
      if (this.#isLeaving || this.#isShort || this.#isAwaited(account.standing))
        this.#giveUp(account, stream);
    }
  }

  /** Whether a connection waits for memory that connections of its own standing hold. */
  #isAwaited(standing: Standing): boolean {
    for (const account of this.#waiting) if (account.standing === standing && !isShut(account)) return true;
    return false;
  }

  /**
   * While the node stops: closes the connections of which nothing has been accepted for the ordinary time between
   * looks.
   */
  #breakOffStuck(): void {
    for (const { holder, stuckMs } of [...this.#accounts]) if (stuckMs >= this.#lookMs) holder.breakOff();
  }

  /**
   * Frees memory when there is too much: takes it from the connection that holds most, first from streams that are not
   * read.
   */
  #relieve(account: MemoryAccount, stream: ServerStream | undefined): void {
    this.#look();
    while (this.#heldBytes > this.#options.heldBytesMax) {
      const largest = this.#largest();
      if (largest === undefined) return;
      const victim =
        this.#leastRead(largest) ?? (largest === account ? stream : undefined) ?? lastOf(largest);
      if (victim === undefined || victim.heldBytes === 0) {
        largest.holder.breakOff();
        return;
      }
      this.#giveUp(largest, victim);
      // The stream that needed more memory is gone.
      if (victim === stream) return;
    }
  }

  #leastRead(account: MemoryAccount): ServerStream | undefined {
    let least: ServerStream | undefined;
    for (const stream of account.holder.streams) {
      if (stream.slowLooks === 0) continue;
      if (least === undefined || stream.slowLooks > least.slowLooks) least = stream;
    }
    return least;
  }

  #largest(): MemoryAccount | undefined {
    let largest: MemoryAccount | undefined;
    for (const account of this.#accounts) {
      if (largest === undefined || account.heldBytes > largest.heldBytes) largest = account;
    }
    return largest;
  }

  #giveUp(account: MemoryAccount, stream: ServerStream): void {
    this.#givenUpCount++;
    if (stream.slowLooks > 0) this.#owe(account, stream.answerBytes);
    account.holder.giveUp(stream);
  }
}

/** Whether a connection has its turn before another one that waits, too. */
function isBefore(account: MemoryAccount, other: MemoryAccount): boolean {
  const isDebtor = account.standing === 'debtor';
  if (isDebtor !== (other.standing === 'debtor')) return !isDebtor;
  return account.answerBytes < other.answerBytes;
}

/** Whether the connection is a reader that has yet to acknowledge the latest bytes. */
function isToAcknowledge({ standing, holder }: MemoryAccount): boolean {
  return standing === 'reader' && !holder.isReading;
}

/**
 * Whether more for this connection would only lie there: its client does not read, or lets nothing through of an answer
 * that it has.
 */
function isShut({ answerBytes, holder }: MemoryAccount): boolean {
  return !holder.isReading || (answerBytes > 0 && holder.allowedBytes <= 0);
}

function lastOf(account: MemoryAccount): ServerStream | undefined {
  let last: ServerStream | undefined;
  for (const stream of account.holder.streams) last = stream;
  return last;
}
