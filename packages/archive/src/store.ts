import { archiveErrors } from './errors.js';

/** The limits of one operation on a store. */
export interface StoreCall {
  /** Ends the operation with an `aborted` error. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Milliseconds after which the operation, retries and all, ends with a `timedOut` error; undefined leaves only the
   * store's own limit for standing still.
   */
  readonly timeoutMs?: number | undefined;
}

/** An object in a store. */
export interface StoredObject {
  readonly name: string;
  readonly sizeBytes: number;
}

/** The result of storing an object. */
export interface PutResult {
  readonly sizeBytes: number;
  /** The SHA-256 of the bytes that were handed in, in hex. */
  readonly sha256: string;
}

/**
 * Stores objects by name, in an S3 bucket or a directory. Names are those that `checkName` accepts. Every error is an
 * ArchiveError, whose text says to an operator how to act. An operation that fails for a reason that may pass is
 * retried within, a bounded number of times.
 */
export interface ObjectStore {
  /** The URL of the store, for messages. It contains no secret. */
  readonly url: string;
  /**
   * Stores an object, in place of one of that name. The object is there as a whole and durable when this resolves, and
   * not at all, or as it was before, when this rejects or the process dies. `content` is read as fast as it can be
   * stored, and ended when storing fails; at most 32 MiB of it are held.
   */
  put(name: string, content: Buffer | AsyncIterable<Buffer>, call: StoreCall): Promise<PutResult>;
  /**
   * Yields the content of an object, in pieces of at most 1 MiB, as fast as they are taken. Throws objectMissing before
   * the first piece, and objectDamaged when the content ends before its length. `timeoutMs` limits each piece.
   */
  get(name: string, call: StoreCall): AsyncIterable<Buffer>;
  /** Yields the objects whose names begin with `prefix`, in no order that all servers keep. */
  list(prefix: string, call: StoreCall): AsyncIterable<StoredObject>;
  /**
   * Yields the segments between `prefix`, which is empty or ends with a slash, and the next slash in the names of
   * objects: each once, in no order that all servers keep.
   */
  folders(prefix: string, call: StoreCall): AsyncIterable<string>;
  /** Deletes an object. An object that is not there counts as deleted. */
  delete(name: string, call: StoreCall): Promise<void>;
  /**
   * Removes what storing left behind where a crash broke it off, when it is so old that nobody can still be at it.
   * Resolves with the number of things removed.
   */
  removeLeftovers(call: StoreCall): Promise<number>;
  /** Closes connections. No operation may be under way. */
  close(): Promise<void>;
}

/** The largest piece that `get` yields, in bytes. */
export const PIECE_SIZE_BYTES_MAX = 1024 * 1024;

const NAME_BYTES_MAX = 512;
const SEGMENT = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/**
 * Whether a text is the name of an object: segments of letters, digits, `.`, `_` and `-` with `/` between, none of
 * which begins with a `.`. So no name leads out of a directory, meets a temporary file, or needs to be escaped
 * anywhere.
 */
export function isName(name: string): boolean {
  return name.length <= NAME_BYTES_MAX && name.split('/').every((segment) => SEGMENT.test(segment));
}

const KEY_BYTES_MAX = 1024;
const KEY_SEGMENT_FORBIDDEN = /^\.{1,2}$/;

/**
 * Whether a text can be the key of an object in S3 that somebody else chose. S3 accepts nearly everything. This refuses
 * what does not reach a server as it is, or does not come back: control characters, which XML cannot hold, and segments
 * `.` and `..`, which HTTP resolves.
 */
export function isKey(key: string): boolean {
  const isLengthRight = key !== '' && Buffer.byteLength(key) <= KEY_BYTES_MAX;
  return (
    isLengthRight && !/\p{Cc}/u.test(key) && !key.split('/').some((part) => KEY_SEGMENT_FORBIDDEN.test(part))
  );
}

/** Checks the name of an object. Throws TypeError for a wrong one: this package makes the names, never a user. */
export function checkName(name: string): void {
  if (!isName(name)) throw new TypeError(`${JSON.stringify(name)} is no name of an object`);
}

/** Checks the beginning of names: empty, or a name that may end with a `/`. Throws TypeError for anything else. */
export function checkPrefix(prefix: string): void {
  if (prefix !== '' && !isName(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix)) {
    throw new TypeError(`${JSON.stringify(prefix)} is no beginning of a name`);
  }
}

/** Checks the name of a folder: empty, or a name that ends with a `/`. Throws TypeError for anything else. */
export function checkFolder(prefix: string): void {
  checkPrefix(prefix);
  if (prefix !== '' && !prefix.endsWith('/')) {
    throw new TypeError(`${JSON.stringify(prefix)} is the name of no folder`);
  }
}

/**
 * Reads an object of at most `maxBytes` as a whole. Rejects with the errors of `ObjectStore.get`, and with
 * objectTooLarge.
 */
export async function readWhole(
  store: ObjectStore,
  name: string,
  maxBytes: number,
  call: StoreCall,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of store.get(name, call)) {
    sizeBytes += piece.length;
    if (sizeBytes > maxBytes) throw archiveErrors.objectTooLarge(store.url, name, maxBytes);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
