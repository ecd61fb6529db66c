import { archiveErrors } from './errors.js';

/** How long an operation may take, and how it is given up. */
export interface StoreCall {
  /** Ends the operation with an `aborted` error. */
  readonly signal?: AbortSignal | undefined;
  /** Ends the operation, retries and all, with a `timedOut` error; undefined: only standing still is limited, by the store. */
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
 * Stores objects by name, in an S3 bucket or a directory. Names are those that `checkName` takes. Every error is an
 * ArchiveError, whose text says to an operator how to act. Operations that may fail by chance are retried within, a
 * bounded number of times.
 */
export interface ObjectStore {
  /** The URL of the store, for messages: it holds no secret. */
  readonly url: string;
  /**
   * Stores an object, in place of one of that name. It is there as a whole and durable when this resolves, and not at
   * all, or as it was before, when it rejects or the process dies. `content` is taken as fast as it can be stored, and
   * is ended when storing fails; at most 32 MiB of it are held.
   */
  put(name: string, content: Buffer | AsyncIterable<Buffer>, call: StoreCall): Promise<PutResult>;
  /**
   * The content of an object, in pieces of at most 1 MiB, as fast as they are taken. Errors: objectMissing, before the
   * first piece; objectDamaged where it ends before its length. `timeoutMs` is that of each piece.
   */
  get(name: string, call: StoreCall): AsyncIterable<Buffer>;
  /** The objects whose names begin with `prefix`, in no order that all servers keep. */
  list(prefix: string, call: StoreCall): AsyncIterable<StoredObject>;
  /**
   * Yields the segments between `prefix`, empty or with a slash at its end, and the next slash in the names of objects:
   * each once, in no order that all servers keep.
   */
  folders(prefix: string, call: StoreCall): AsyncIterable<string>;
  /** An object that is not there is as good as deleted. */
  delete(name: string, call: StoreCall): Promise<void>;
  /**
   * Removes the leftovers of stores that a crash broke off, where they are old enough to be nobody's: returns how many.
   */
  removeLeftovers(call: StoreCall): Promise<number>;
  /** Lets go of connections. Nothing may be under way. */
  close(): Promise<void>;
}

/** The largest piece that `get` gives. */
export const PIECE_SIZE_BYTES_MAX = 1024 * 1024;

const NAME_BYTES_MAX = 512;
const SEGMENT = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/**
 * Names of objects: segments of letters, digits, `.`, `_` and `-` with `/` between, none of which begins with a `.`: so
 * none leads out of a directory, none meets a temporary file, and none needs to be escaped anywhere.
 */
export function isName(name: string): boolean {
  return name.length <= NAME_BYTES_MAX && name.split('/').every((segment) => SEGMENT.test(segment));
}

const KEY_BYTES_MAX = 1024;
const KEY_SEGMENT_FORBIDDEN = /^\.{1,2}$/;

/**
 * Keys of objects in S3 that somebody else chose. S3 takes nearly everything; refused is what does not reach a server as it
 * is, or does not come back: control characters, which XML cannot hold, and segments `.` and `..`, which HTTP resolves.
 */
export function isKey(key: string): boolean {
  const isLengthRight = key !== '' && Buffer.byteLength(key) <= KEY_BYTES_MAX;
  return (
    isLengthRight && !/\p{Cc}/u.test(key) && !key.split('/').some((part) => KEY_SEGMENT_FORBIDDEN.test(part))
  );
}

/** Checks an object's name. Throws TypeError for a wrong one: the names are made by this package, never by a user. */
export function checkName(name: string): void {
  if (!isName(name)) throw new TypeError(`${JSON.stringify(name)} is no name of an object`);
}

/** Works as `checkName` does, for the beginning of a name: empty, or a name that may end with a `/`. */
export function checkPrefix(prefix: string): void {
  if (prefix !== '' && !isName(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix)) {
    throw new TypeError(`${JSON.stringify(prefix)} is no beginning of a name`);
  }
}

/** Works as `checkPrefix` does, for a prefix that ends with a segment. */
export function checkFolder(prefix: string): void {
  checkPrefix(prefix);
  if (prefix !== '' && !prefix.endsWith('/')) {
    throw new TypeError(`${JSON.stringify(prefix)} is the name of no folder`);
  }
}

/** An object of at most `maxBytes` as a whole. Errors: those of `get`, and objectTooLarge. */
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
