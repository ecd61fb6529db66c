/** The bytes of the peer protocol (DESIGN.md, "The peer protocol"). */

/** An entry may be as large as a client's message, and a frame as an entry and its neighbours (P4). */
export const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;
export const LENGTH_BYTES = 4;

/** A message of length 0. */
export const SIGN_OF_LIFE = Buffer.alloc(LENGTH_BYTES);

const PROTOCOL = 'coxswain.peer.v2';

/** What a connection begins with: the dialler says which kind it is. All have one length. */
export const PREFACES = {
  frames: Buffer.from(`${PROTOCOL} frames\n`),
  bulk: Buffer.from(`${PROTOCOL} bulk  \n`),
};

/** What the receiver answers before anything else. */
export const ACCEPTANCE = { taken: Buffer.from(`${PROTOCOL} taken \n`) };

/** The first byte of each message on a connection of bulk. */
export enum BulkCode {
  /** The first piece is the header. */
  Piece = 1,
  /** Said, since the system closes the connection of a killed sender as it does that of one that is done. */
  End = 2,
  Accepted = 3,
  /** The reason follows. */
  Refused = 4,
}

/** A message of bulk up to its content, of which there are `contentBytes`. */
export function bulkHead(code: BulkCode, contentBytes: number): Buffer {
  const head = Buffer.allocUnsafe(LENGTH_BYTES + 1);
  head.writeUInt32BE(1 + contentBytes, 0);
  head[LENGTH_BYTES] = code;
  return head;
}

/** What a connection turned out to begin with. */
type Opening<Kind> =
  | { readonly kind: Kind; readonly rest: Buffer }
  /** Whoever is there does not speak this protocol. */
  | { readonly kind: undefined; readonly reason: string };

/** Reads which of some byte strings of one length a connection begins with. */
export class OpeningReader<Kind extends string> {
  readonly #openings: readonly [Kind, Buffer][];
  #bytes: Buffer = Buffer.alloc(0);

  constructor(openings: Record<Kind, Buffer>) {
    this.#openings = Object.entries(openings) as [Kind, Buffer][];
  }

  /** Undefined: more is to come. A byte that fits none of them decides at once: a stranger may send no more. */
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

/** Follows an address in messages: says what answers there, by its first bytes. */
function describeStranger(bytes: Buffer): string {
  const text = bytes.toString('latin1', 0, 64);
  const version = /^coxswain\.peer\.v(\d+)/.exec(text)?.[1];
  if (version !== undefined && !text.startsWith(PROTOCOL))
    return `it speaks version ${version} of the peer protocol: run one release on all nodes`;
  // A client's preface, and the SETTINGS that a server begins with.
  if (text.startsWith('PRI * HTTP/2'.slice(0, text.length)) || text.startsWith('\x04\0\0\0\0\0', 3))
    return 'it speaks HTTP/2: a node of an earlier release, or another kind of client or listener';
  // Its records: a handshake, or an alert.
  if ((bytes[0] === 0x16 || bytes[0] === 0x15) && bytes[1] === 3)
    return 'it speaks TLS, and this node does not: give all nodes certificates (raft.cert-filename), or none';
  if (/^(?:HTTP\/1|[A-Z]+ \S+)/.test(text)) return 'it speaks HTTP/1: another kind of client or listener';
  return 'it does not speak the peer protocol';
}
