import type { ServerStream } from './server-stream.js';

/** How often slow readers are looked for, while somebody waits for what they hold. */
const LOOK_MS = 1_000;
/** Two looks in a row that find less than this sent make a slow reader: 32 KiB a second. */
const SLOW_BYTES_PER_SECOND = 32 * 1024;
const SLOW_LOOKS = 2;
/** While the node stops, slow readers are looked for so many times as often: it has seconds to end in. */
const LEAVING_HURRY = 4;
/** A stream whose own window is below a frame is held up by itself, whatever its connection lets through. */
const WINDOW_BYTES_MIN = 16 * 1024;
/** What of the room for answers is left to connections that hold none. */
const NEWCOMERS_SHARE = 1 / 4;
/** How a connection reads, as far as this side sees. */
type Standing = 'newcomer' | 'reader' | 'debtor';
/** What of the room for answers all connections of a standing may take together, but for one answer that passes it. */
const SHARES: Readonly<Record<Standing, number>> = { reader: 1, newcomer: 1 / 8, debtor: 1 / 16 };

export interface HeldMemoryOptions {
  /** Bytes that requests take until they are answered and answers until they are sent, over all connections. */
  readonly heldBytesMax: number;
  /** Bytes of that for which answers may be made ahead of what has been sent, see `ServerStream.reserve`. */
  readonly answerBytesMax: number;
  /** How often slow readers are looked for, in milliseconds. Default: 1000. */
  readonly lookMs?: number;
}

/** What the memory needs of a connection. */
export interface MemoryHolder {
  /** Resets the stream, and cancels what it does. */
  giveUp(stream: ServerStream): void;
  /** What its window, or its socket, lets through now. */
  readonly allowedBytes: number;
  /**
   * The client has read all that was sent to it but for little, as its acknowledgements show: what the system has taken
   * may lie in its buffers, which hold megabytes.
   */
  readonly isReading: boolean;
  /** Ends the connection: no stream of it holds anything that it could be rid of. */
  breakOff(): void;
  /** Bytes that have left for the client since the connection began. */
  readonly sentBytes: number;
  /** Of those, the bytes that the system has not taken from this process yet. */
  readonly untakenBytes: number;
  readonly streamCount: number;
  readonly streams: Iterable<ServerStream>;
}

interface Waiter {
  readonly stream: ServerStream;
  /** 0: a small answer. */
  readonly sizeBytes: number;
  readonly done: (isGranted: boolean) => void;
}

/** What one connection holds. Made by `HeldMemory.open`. */
export class MemoryAccount {
  heldBytes = 0;
  answerBytes = 0;
  /** Waiting, of streams that have not sent anything yet. */
  readonly first = new Map<ServerStream, Waiter>();
  /** Waiting, of streams whose earlier answers were read. */
  readonly again = new Map<ServerStream, Waiter>();
  /** Which of the two goes next. */
  isFirstNext = false;
  /** Waiting to send a small answer. */
  readonly small = new Map<ServerStream, Waiter>();
  /**
   * A newcomer is a reader when an answer that it had to ask room for has left whole. A debtor is one of which a stream
   * was given up that it did not read, until as much has left as was made for nothing.
   */
  standing: Standing = 'newcomer';
  debtBytes = 0;
  /** What the socket has not taken yet. */
  backlogBytes = 0;
  sentBytesAtLook = 0;
  isSlow = false;
  /** What the system had taken of the connection at the last look, and for how long there was more that it did not take. */
  takenBytesAtLook = -1;
  stuckMs = 0;

  constructor(readonly holder: MemoryHolder) {}

  get waitingCount(): number {
    return this.first.size + this.again.size + this.small.size;
  }

  /** Who of its streams goes next; small answers, which hold nothing back, before all others. */
  get next(): Waiter | undefined {
    const [preferred, other] = this.isFirstNext ? [this.first, this.again] : [this.again, this.first];
    const queue = this.small.size > 0 ? this.small : preferred.size > 0 ? preferred : other;
    const [waiter] = queue.values();
    return waiter;
  }
}

/**
 * The memory that all connections of a node share. Large answers are made only when there is room for them, for the
 * connection that holds least first. A stream that is read too slowly is reset as soon as another one waits for what it
 * holds; where nobody waits it may take its time. A connection of which a stream was reset owes what was made for
 * nothing: until it has read as much it comes after all others, and shares little room with those that owe too. For one
 * that does not read what was sent, or lets nothing through, no answer is made. So clients that do not read wait for
 * themselves.
 */
export class HeldMemory {
  readonly #options: HeldMemoryOptions;
  readonly #accounts = new Set<MemoryAccount>();
  /** Those that have somebody waiting, who was served last at the end. */
  readonly #waiting = new Set<MemoryAccount>();
  #heldBytes = 0;
  #answerBytes = 0;
  /** Of `answerBytes`, what connections of each standing hold. */
  readonly #bytesOf: Record<Standing, number> = { newcomer: 0, reader: 0, debtor: 0 };
  /** Somebody waits whose own standing would let it have more. */
  #isShort = false;
  #givenUpCount = 0;
  #timer: NodeJS.Timeout | undefined;
  #isLeaving = false;
  /** The connection of each stream that waits. */
  readonly #waitingStreams = new Map<ServerStream, MemoryAccount>();

  constructor(options: HeldMemoryOptions) {
    this.#options = options;
  }

  /** Bytes that requests and answers take now. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Of `heldBytes`, answers that wait to be sent or are being made. */
  get answerBytes(): number {
    return this.#answerBytes;
  }

  /** Streams that were reset because they were not read, or because there was no memory left. */
  get givenUpCount(): number {
    return this.#givenUpCount;
  }

  /** Streams that wait for room for their next answer. */
  get waitingCount(): number {
    return this.#waitingStreams.size;
  }

  open(holder: MemoryHolder): MemoryAccount {
    const account = new MemoryAccount(holder);
    this.#accounts.add(account);
    return account;
  }

  /** The connection is about to end: none of its streams waits any more. */
  withdraw({ first, again, small }: MemoryAccount): void {
    for (const stream of [...first.keys(), ...again.keys(), ...small.keys()]) this.#settle(stream, false);
  }

  /** A connection has shown that it reads. */
  resume(): void {
    if (this.#waiting.size > 0) this.#grant();
  }

  /** All streams of the account are gone. */
  close(account: MemoryAccount): void {
    this.#accounts.delete(account);
    this.#heldBytes -= account.backlogBytes;
    account.heldBytes -= account.backlogBytes;
    account.backlogBytes = 0;
  }

  /**
   * The node stops. Nobody waits any more; a stream that is not read is reset within a second, and so is a connection
   * closed that has only answers left, or only its end, which its client does not take.
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

  /** Whether a new stream of that size must be refused: where another connection holds more, that one pays. */
  isFullFor(account: MemoryAccount, sizeBytes: number): boolean {
    return this.#heldBytes + sizeBytes > this.#options.heldBytesMax && this.#largest() === account;
  }

  /** A stream holds so much more, or less. Gives up streams, maybe this one, where that is too much. */
  hold(account: MemoryAccount, stream: ServerStream, sizeBytes: number): void {
    stream.heldBytes += sizeBytes;
    account.heldBytes += sizeBytes;
    this.#heldBytes += sizeBytes;
    if (sizeBytes > 0 && this.#heldBytes > this.#options.heldBytesMax) this.#relieve(account, stream);
  }

  /** As `hold`, for what the stream has not sent of its answer, or reserves for it. */
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

  /** The socket of a connection has so much to send. */
  holdBacklog(account: MemoryAccount, backlogBytes: number): void {
    const grownBytes = backlogBytes - account.backlogBytes;
    account.backlogBytes = backlogBytes;
    account.heldBytes += grownBytes;
    this.#heldBytes += grownBytes;
    if (grownBytes > 0 && this.#heldBytes > this.#options.heldBytesMax) this.#relieve(account, undefined);
  }

  /** The stream is gone: it holds nothing, and waits for nothing. */
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

  /** See `ServerStream.reserve`. */
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

  /** Somebody may soon have to go, and it should be known who is not read. */
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

  /** Whether a connection may have so much where there is room. */
  #mayHold(account: MemoryAccount, sizeBytes: number): boolean {
    if (sizeBytes === 0) return true;
    if (isShut(account)) return false;
    const { standing } = account;
    const heldBytes = this.#bytesOf[standing];
    return heldBytes === 0 || heldBytes + sizeBytes <= this.#options.answerBytesMax * SHARES[standing];
  }

  /** Serves those that wait as far as there is room: the connection that holds least, then the one that waits longest. */
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
      // It stands last among those that hold as little.
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

  /** Looks for slow readers, now and then, as long as somebody waits for what they hold. */
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

  /** Streams with answers that are not sent. */
  *#unsent(): Generator<[stream: ServerStream, account: MemoryAccount], void, undefined> {
    for (const account of this.#accounts) {
      for (const stream of account.holder.streams) if (stream.answerBytes > 0) yield [stream, account];
    }
  }

  /** Gives what has left for the client since the last look, `sinceMs` ago. */
  #lookAt(account: MemoryAccount, sinceMs: number): number {
    const { sentBytes, untakenBytes, streamCount, isReading } = account.holder;
    const newlySentBytes = sentBytes - account.sentBytesAtLook;
    account.sentBytesAtLook = sentBytes;
    this.#owe(account, -newlySentBytes);
    const takenBytes = sentBytes - untakenBytes;
    // A connection with streams and nothing to send waits for their handlers; one without any need not end before the node.
    const isOver = this.#isLeaving && (streamCount === 0 || !isReading);
    const isStuck = takenBytes === account.takenBytesAtLook && (untakenBytes > 0 || isOver);
    account.takenBytesAtLook = takenBytes;
    account.stuckMs = isStuck ? account.stuckMs + sinceMs : 0;
    return newlySentBytes;
  }

  /** The connection owes so much more, or less. */
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
      // An answer that is still being made, or stands in line for a connection that takes much, is not slow.
      const isHeldUp = account.isSlow || stream.sendWindowBytes < WINDOW_BYTES_MIN;
      const isSlow = stream.waitingBytes > 0 && isHeldUp && sentBytes < bytesMin;
      stream.slowLooks = isSlow ? stream.slowLooks + 1 : 0;
    }
    // Who has paid its debt may have room.
    this.resume();
  }

  /** As many as others wait for, those that hold most first. */
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

  /** Whether a connection waits for what those of its own standing hold. */
  #isAwaited(standing: Standing): boolean {
    for (const account of this.#waiting) if (account.standing === standing && !isShut(account)) return true;
    return false;
  }

  /** While the node stops: ends the connections of which nothing has been taken for as long as a look takes otherwise. */
  #breakOffStuck(): void {
    for (const { holder, stuckMs } of [...this.#accounts]) if (stuckMs >= this.#lookMs) holder.breakOff();
  }

  /** Ends streams where too much memory is held: those of the connection that holds most, unread ones first. */
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
      // What would have grown is gone.
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

/** Whether a connection has its turn before another one that waits too. */
function isBefore(account: MemoryAccount, other: MemoryAccount): boolean {
  const isDebtor = account.standing === 'debtor';
  if (isDebtor !== (other.standing === 'debtor')) return !isDebtor;
  return account.answerBytes < other.answerBytes;
}

/** It reads, and has yet to show it of what was sent last. */
function isToAcknowledge({ standing, holder }: MemoryAccount): boolean {
  return standing === 'reader' && !holder.isReading;
}

/** More for it would only lie there: it does not read, or lets nothing through of an answer that it has. */
function isShut({ answerBytes, holder }: MemoryAccount): boolean {
  return !holder.isReading || (answerBytes > 0 && holder.allowedBytes <= 0);
}

function lastOf(account: MemoryAccount): ServerStream | undefined {
  let last: ServerStream | undefined;
  for (const stream of account.holder.streams) last = stream;
  return last;
}
