import { createHash, webcrypto } from 'node:crypto';
import type { ListObject } from 's3mini';
import { Deadline } from '../deadline.js';
import { archiveErrors } from '../errors.js';
import {
  checkFolder,
  checkPrefix,
  isKey,
  isName,
  type ObjectStore,
  PIECE_SIZE_BYTES_MAX,
  type PutResult,
  type StoreCall,
  type StoredObject,
} from '../store.js';
import { S3Download } from './s3-download.js';
import { isNoSuchKey, isNoSuchUpload, S3AnswerError } from './s3-errors.js';
import { DEFAULT_S3_LIMITS, type S3Limits, type S3Options, S3Requests, type S3Task } from './s3-requests.js';
import { listS3Uploads, S3Upload } from './s3-upload.js';

/** The largest object that is stored with one request, in bytes. */
const SINGLE_SIZE_BYTES_MAX = 32 * 1024 * 1024;
/** The most objects that one listing request returns. */
const PAGE_OBJECTS = 1000;
/** The character that sorts next after a slash: a folder's name with it sorts after everything in the folder. */
const BEHIND_SLASH = '0';
/**
 * The age in milliseconds from which an upload counts as left over from a crash. Storing an object ends much sooner,
 * one way or the other.
 */
const LEFTOVER_AGE_MS = 24 * 60 * 60 * 1000;

/**
 * Stores objects in an S3 bucket, Amazon's or another's. Both ends check the content: a body goes with its hash, and a
 * download must have the announced length; where a connection breaks off, another one continues it.
 */
export class S3Store implements ObjectStore {
  readonly url: string;
  readonly #prefix: string;
  readonly #requests: S3Requests;
  readonly #nowMs: () => number;
  readonly #takesName: (name: string) => boolean;
  /** The uploads that are being given up. `close` waits for them. */
  readonly #aborts = new Set<Promise<void>>();

  /** Throws credentialsMissing. Only the first operation finds out whether the bucket exists. */
  constructor(options: S3Options, limits: S3Limits = DEFAULT_S3_LIMITS, nowMs: () => number = Date.now) {
    const { bucket, prefix, accessKeyId, secretAccessKey } = options;
    this.url = `s3://${bucket}${prefix && `/${prefix}`}`;
    if (accessKeyId.trim() === '' || secretAccessKey.trim() === '') {
      throw archiveErrors.credentialsMissing(this.url);
    }
    this.#prefix = prefix && `${prefix}/`;
    this.#requests = new S3Requests(this.url, options, limits);
    this.#nowMs = nowMs;
    this.#takesName = options.takesAnyKey ? isKey : isName;
  }

  async put(name: string, content: Buffer | AsyncIterable<Buffer>, call: StoreCall): Promise<PutResult> {
    this.#check(name);
    const deadline = new Deadline(this.url, `storing ${name}`, call);
    deadline.check();
    if (Buffer.isBuffer(content) && content.length <= SINGLE_SIZE_BYTES_MAX) {
      await this.#putSingle(name, content, deadline);
      // This hashes in the thread pool, not on the event loop.
      const sha256 = Buffer.from(await webcrypto.subtle.digest('SHA-256', content)).toString('hex');
      return { sizeBytes: content.length, sha256 };
    }
    const pieces = Buffer.isBuffer(content) ? piecesOf(content) : content;
    return deadline.race(this.#putParts(name, pieces, deadline));
  }

  async #putSingle(name: string, body: Buffer, deadline: Deadline): Promise<void> {
    const key = this.#key(name);
    await this.#requests.run({ deadline, doing: `storing ${name}`, key, body }, async (client) => {
      const response = await client.putObject(key, body);
      await response.body?.cancel();
    });
  }

  async #putParts(name: string, pieces: AsyncIterable<Buffer>, deadline: Deadline): Promise<PutResult> {
    const hash = createHash('sha256');
    const part = Buffer.allocUnsafe(this.#requests.limits.partSizeBytes);
    let filledBytes = 0;
    let sizeBytes = 0;
    let upload: S3Upload | undefined;
    const options = { requests: this.#requests, url: this.url, name, key: this.#key(name), deadline };
    try {
      for await (const piece of pieces) {
        deadline.check();
        hash.update(piece);
        sizeBytes += piece.length;
        for (let at = 0; at < piece.length; ) {
          if (filledBytes === part.length) {
            upload ??= await S3Upload.begin(options);
            await upload.add(part);
            filledBytes = 0;
          }
          const copiedBytes = piece.copy(part, filledBytes, at);
          filledBytes += copiedBytes;
          at += copiedBytes;
        }
      }
      deadline.check();
      const last = part.subarray(0, filledBytes);
      if (upload) {
        await upload.add(last);
        await upload.complete();
      } else {
        await this.#putSingle(name, last, deadline);
      }
      return { sizeBytes, sha256: hash.digest('hex') };
    } catch (error) {
      if (upload) await this.#abort(upload);
      throw error;
    }
  }

  #abort(upload: S3Upload): Promise<void> {
    const abort = upload.abort().finally(() => this.#aborts.delete(abort));
    this.#aborts.add(abort);
    return abort;
  }

  async *get(name: string, call: StoreCall): AsyncGenerator<Buffer, void, undefined> {
    this.#check(name);
    yield* new S3Download(this.#requests, { url: this.url, name, key: this.#key(name), call }).pieces();
  }

  async *list(prefix: string, call: StoreCall): AsyncGenerator<StoredObject, void, undefined> {
    checkPrefix(prefix);
    const task = this.#listing(call);
    let next: string | undefined;
    do {
      const page = await this.#page(task, this.#prefix + prefix, { next });
      for (const { Key: key, Size: sizeBytes } of page.objects ?? []) {
        const name = key.slice(this.#prefix.length);
        // Others may keep objects of their own in the bucket.
        if (this.#takesName(name)) yield { name, sizeBytes };
      }
      next = page.nextContinuationToken;
    } while (next !== undefined);
  }

  /**
   * Yields folders page by page. Each request begins after the last folder of the page before, since not every server
   * can list folders by itself.
   */
  async *folders(prefix: string, call: StoreCall): AsyncGenerator<string, void, undefined> {
    checkFolder(prefix);
    const task = this.#listing(call);
    const below = this.#prefix + prefix;
    let isTruncated = true;
    for (let after = ''; isTruncated; ) {
      const page = await this.#page(task, below, { after });
      const folders = new Set<string>();
      for (const { Key: key } of page.objects ?? []) {
        const slash = key.indexOf('/', below.length);
        if (slash >= 0) folders.add(key.slice(below.length, slash));
        after = slash < 0 ? key : key.slice(0, slash) + BEHIND_SLASH;
      }
      for (const folder of folders) if (isName(folder)) yield folder;
      isTruncated = page.nextContinuationToken !== undefined;
    }
  }

  #listing(call: StoreCall): S3Task {
    const doing = 'listing the objects';
    return { deadline: new Deadline(this.url, doing, call), doing, root: 'ListBucketResult' };
  }

  /** Requests one page of a listing: the one with the token `next`, or the one that begins after the key `after`. */
  async #page(
    task: S3Task,
    prefix: string,
    { next, after }: { next?: string | undefined; after?: string },
  ): Promise<{ readonly objects: ListObject[] | null; readonly nextContinuationToken?: string }> {
    const options = after ? { 'start-after': after } : {};
    const page = await this.#requests.run(task, (client) =>
      client.listObjectsPaged('/', prefix, PAGE_OBJECTS, next, options),
    );
    if (!page) throw new S3AnswerError('the server gives no page of objects');
    return page;
  }

  async delete(name: string, call: StoreCall): Promise<void> {
    this.#check(name);
    const doing = `deleting ${name}`;
    const key = this.#key(name);
    const task = { deadline: new Deadline(this.url, doing, call), doing, key };
    await this.#requests.run(task, async (client) => {
      try {
        await client.deleteObject(key);
      } catch (error) {
        // The object was gone already. Most servers do not even report that.
        if (!isNoSuchKey(error)) throw error;
      }
    });
  }

  async removeLeftovers(call: StoreCall): Promise<number> {
    const doing = 'removing what broken-off stores left behind';
    const task = { deadline: new Deadline(this.url, doing, call), doing };
    let count = 0;
    for await (const { key, id, beginMs } of listS3Uploads(this.#requests, task)) {
      // Not every server lists uploads by a prefix that is not the whole key.
      if (!key.startsWith(this.#prefix) || !isName(key.slice(this.#prefix.length))) continue;
      if (this.#nowMs() - beginMs < LEFTOVER_AGE_MS) continue;
      if (await this.#removeUpload(task, key, id)) count++;
    }
    return count;
  }

  /** Removes an upload that was left over. Resolves with whether it was still there. */
  #removeUpload(task: S3Task, key: string, id: string): Promise<boolean> {
    return this.#requests.run(task, async (client) => {
      try {
        await client.abortMultipartUpload(key, id);
        return true;
      } catch (error) {
        if (!isNoSuchUpload(error)) throw error;
        return false;
      }
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#aborts);
  }

  #check(name: string): void {
    if (!this.#takesName(name)) throw new TypeError(`${JSON.stringify(name)} is no name of an object`);
  }

  #key(name: string): string {
    return this.#prefix + name;
  }
}

async function* piecesOf(content: Buffer): AsyncGenerator<Buffer, void, undefined> {
  for (let at = 0; at < content.length; at += PIECE_SIZE_BYTES_MAX) {
    yield content.subarray(at, at + PIECE_SIZE_BYTES_MAX);
  }
}
