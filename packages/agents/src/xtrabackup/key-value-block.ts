/** A request breaks the protocol, or is refused. The client gets the text. */
export class AgentRequestError extends Error {
  override readonly name = 'AgentRequestError';
}

/** The version of the protocol that this agent speaks. */
const PROTOCOL_VERSION = '0.76.1';
const [MAJOR, MINOR] = PROTOCOL_VERSION.split('.').map(Number) as [number, number];

/** The longest line of a request, in bytes. */
export const LINE_BYTES_MAX = 64 * 1024;
/** The most pairs of a request. */
export const PAIRS_MAX = 200;
const REQUEST_BYTES_MAX = 1024 * 1024;
const LINEFEED = 0x0a;
const NOTHING = Buffer.alloc(0);

/** A request: the values of its lines, by key. */
export type KeyValues = ReadonlyMap<string, string>;

/**
 * Parses one request piece by piece: a line with the version, one with the number of pairs, that many lines
 * `key=value`, and a blank line. A value may contain `=`. It holds at most one line beside the pairs, and both are
 * limited in size.
 */
export class RequestParser {
  /** The pieces of the line that is not complete yet. */
  #line: Buffer[] = [];
  #lineBytes = 0;
  #requestBytes = 0;
  #linesRead = 0;
  #hasVersion = false;
  #pairCount: number | undefined;
  readonly #pairs = new Map<string, string>();
  #pairsRead = 0;
  #isWhole = false;

  /**
   * Takes the next bytes and returns the request once its blank line has come; bytes after that are ignored. Throws
   * AgentRequestError.
   */
  push(bytes: Buffer): KeyValues | undefined {
    for (let at = 0; at < bytes.length && !this.#isWhole; ) {
      const found = bytes.indexOf(LINEFEED, at);
      const end = found < 0 ? bytes.length : found;
      this.#gather(bytes.subarray(at, end));
      if (found >= 0) this.#take(this.#takeLine());
      at = end + 1;
    }
    return this.#isWhole ? this.#pairs : undefined;
  }

  /** Names what the request still lacks when it breaks off here. */
  get missing(): string {
    if (!this.#hasVersion) return 'the version line';
    if (this.#pairCount === undefined) return 'the line with the number of pairs';
    const missing = this.#pairCount - this.#pairsRead;
    return missing > 0 ? `${missing} of ${this.#pairCount} key=value lines` : 'the blank line that ends it';
  }

  #gather(part: Buffer): void {
    this.#lineBytes += part.length;
    this.#requestBytes += part.length + 1;
    if (this.#lineBytes > LINE_BYTES_MAX) {
      throw new AgentRequestError(`a line of the request is longer than ${LINE_BYTES_MAX} bytes`);
    }
    if (this.#requestBytes > REQUEST_BYTES_MAX) {
      throw new AgentRequestError(`the request is longer than ${REQUEST_BYTES_MAX} bytes`);
    }
    // Copied, so that the buffer that it came in can be freed; joined now and then, so that many small pieces cost no
    // more.
    if (part.length > 0) this.#line.push(Buffer.from(part));
    if (this.#line.length >= 256) this.#line = [Buffer.concat(this.#line)];
  }

  #takeLine(): string {
    const line = this.#line.length === 0 ? NOTHING : Buffer.concat(this.#line);
    this.#line = [];
    this.#lineBytes = 0;
    return line.toString('utf8');
  }

  #take(line: string): void {
    this.#linesRead++;
    if (!this.#hasVersion) {
      checkVersion(line);
      this.#hasVersion = true;
    } else if (this.#pairCount === undefined) {
      this.#pairCount = parseCount(line);
    } else if (this.#pairsRead < this.#pairCount) {
      this.#takePair(line, this.#pairCount);
    } else if (line === '') {
      this.#isWhole = true;
    } else {
      throw new AgentRequestError(
        `a blank line must follow the ${this.#pairCount} key=value lines that the request announces`,
      );
    }
  }

  #takePair(line: string, count: number): void {
    if (line === '') {
      throw new AgentRequestError(
        `the request announces ${count} key=value lines and has ${this.#pairsRead}`,
      );
    }
    // The text does not quote the line: it may hold the password.
    if (/\p{Cc}/u.test(line)) {
      throw new AgentRequestError(`Bad data in line ${this.#linesRead} of the request: a control character`);
    }
    const split = line.indexOf('=');
    if (split < 1) throw new AgentRequestError(`line ${this.#linesRead} of the request is not key=value`);
    const key = line.slice(0, split);
    if (this.#pairs.has(key)) {
      throw new AgentRequestError(`line ${this.#linesRead} of the request gives a key that was given before`);
    }
    this.#pairs.set(key, line.slice(split + 1));
    this.#pairsRead++;
  }
}

/**
 * Encodes a block of an answer: the number of lines, the lines, a blank line. Control characters in values become
 * spaces, so that no value can begin another line.
 */
export function encodeBlock(pairs: Readonly<Record<string, string>>): string {
  const lines = Object.entries(pairs).map(([key, value]) => `${key}=${onOneLine(value)}\n`);
  return `${lines.length}\n${lines.join('')}\n`;
}

function onOneLine(value: string): string {
  return value.replaceAll(/\p{Cc}+/gu, ' ');
}

/**
 * Refuses another major version, which is another protocol, and a newer minor one, which may say things that this agent
 * does not understand. The micro version does not matter.
 */
function checkVersion(line: string): void {
  const found = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})$/.exec(line);
  if (found === null) {
    throw new AgentRequestError(
      `the first line must be the version of the protocol, such as ${PROTOCOL_VERSION}`,
    );
  }
  const [major, minor] = [Number(found[1]), Number(found[2])];
  if (major !== MAJOR || minor > MINOR) {
    throw new AgentRequestError(
      `version ${found[0]} of the protocol is not spoken here: this agent speaks ${PROTOCOL_VERSION}`,
    );
  }
}

function parseCount(line: string): number {
  if (!/^\d{1,9}$/.test(line)) {
    throw new AgentRequestError('the second line must be the number of key=value lines');
  }
  const count = Number(line);
  if (count > PAIRS_MAX) {
    throw new AgentRequestError(`a request has at most ${PAIRS_MAX} key=value lines, not ${count}`);
  }
  return count;
}
