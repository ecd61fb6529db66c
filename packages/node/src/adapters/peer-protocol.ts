/** The bytes of the peer protocol (DESIGN.md, "The peer protocol"). */

/**
 * The limit of a message, in bytes: an entry may be as large as a client's message, and a frame as an entry and its
 * neighbours (P4).
 */
export const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;
/** The length of the length that precedes each message, in bytes. */
export const LENGTH_BYTES = 4;

/** A message of length 0, which says only that its sender is there. */
export const SIGN_OF_LIFE = Buffer.alloc(LENGTH_BYTES);

const PROTOCOL = 'coxswain.peer.v2';

/** The bytes with which a dialler begins a connection of either kind. All openings have one length. */
export const PREFACES = {
  frames: Buffer.from(`${PROTOCOL} frames\n`),
  bulk: Buffer.from(`${PROTOCOL} bulk  \n`),
};

/** The bytes with which the receiver answers before anything else. */
export const ACCEPTANCE = { taken: Buffer.from(`${PROTOCOL} taken \n`) };

/** The first byte of each message on a connection of bulk. */
export enum BulkCode {
  /** A piece of the stream; the first one is its header. */
  Piece = 1,
  /**
   * The end of the stream. It is sent explicitly, since the system closes the connection of a killed sender like that
   * of one that is done.
   */
  End = 2,
  /** The receiver has accepted the stream. */
  Accepted = 3,
  /** The receiver has refused the stream; the reason follows. */
  Refused = 4,
}

/** Makes the head of a message of bulk, whose content has `contentBytes`. */
export function bulkHead(code: BulkCode, contentBytes: number): Buffer {
  const head = Buffer.allocUnsafe(LENGTH_BYTES + 1);
  head.writeUInt32BE(1 + contentBytes, 0);
  head[LENGTH_BYTES] = code;
  return head;
}

/** How a connection turned out to begin. */
type Opening<Kind> =
  | { readonly kind: Kind; readonly rest: Buffer }
  /** The other side does not speak this protocol. */
  | { readonly kind: undefined; readonly reason: string };

/** Finds out with which of several openings of one length a connection begins. */
export class OpeningReader<Kind extends string> {
  readonly #openings: readonly [Kind, Buffer][];
  #bytes: Buffer = Buffer.alloc(0);

  constructor(openings: Record<Kind, Buffer>) {
    this.#openings = Object.entries(openings) as [Kind, Buffer][];
  }

  /**
   * Takes in a chunk. Returns undefined while more bytes are needed. A byte that fits no opening decides at once: a
   * stranger may send no more.
   */
  push(chunk: Buffer): Opening<Kind> | undefined {
    const bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    for (const [kind, opening] of this.#openings) {
      if (!bytes.subarray(0, opening.length).equals(opening.subarray(0, bytes.length))) continue;
      if (bytes.length >= opening.length) return { kind, rest: bytes.subarray(opening.length) };
      this.#bytes = bytes;
      return undefined;
    }
    return { kind: undefined, reason: describeStranger(bytes) };
  }
}

/** Describes a stranger by its first bytes, as the end of a sentence about an address. */
function describeStranger(bytes: Buffer): string {
  const text = bytes.toString('latin1', 0, 64);
  const version = /^coxswain\.peer\.v(\d+)/.exec(text)?.[1];
  if (version !== undefined && !text.startsWith(PROTOCOL))
    return `it speaks version ${version} of the peer protocol: run one release on all nodes`;
  // The preface of a client, and the SETTINGS with which a server begins.
  if (text.startsWith('PRI * HTTP/2'.slice(0, text.length)) || text.startsWith('\x04\0\0\0\0\0', 3))
    return 'it speaks HTTP/2: a node of an earlier release, or another kind of client or listener';
  // The records of TLS: a handshake, or an alert.
  if ((bytes[0] === 0x16 || bytes[0] === 0x15) && bytes[1] === 3)
    return 'it speaks TLS, and this node does not: give all nodes certificates (raft.cert-filename), or none';
  if (/^(?:HTTP\/1|[A-Z]+ \S+)/.test(text)) return 'it speaks HTTP/1: another kind of client or listener';
  return 'it does not speak the peer protocol';
}
