import { createHash } from 'node:crypto';
import { Deadline } from '../deadline.js';
import { archiveErrors } from '../errors.js';
import {
  checkName,
  checkPrefix,
  isName,
  type ObjectStore,
  PIECE_SIZE_BYTES_MAX,
  type PutResult,
  type StoreCall,
  type StoredObject,
} from '../store.js';
import { S3Download } from './s3-download.js';
import { isNotFound } from './s3-errors.js';
import { DEFAULT_S3_LIMITS, type S3Limits, type S3Options, S3Requests } from './s3-requests.js';
import { listS3Uploads, PART_SIZE_BYTES, S3Upload } from './s3-upload.js';

/** What is stored with one request. */
const SINGLE_SIZE_BYTES_MAX = 32 * 1024 * 1024;
const PAGE_OBJECTS = 1000;
/** An upload that is older is left over from a crash: whoever stores one is ended much sooner. */
const LEFTOVER_AGE_MS = 24 * 60 * 60 * 1000;

/**
 * Objects in an S3 bucket, Amazon's or another's. What goes on behind a request is checked at both ends: bodies are sent
 * with their hash, and what is read is as long as was said, or goes on where a connection broke off.
 */
export class S3Store implements ObjectStore {
  readonly url: string;
  readonly #prefix: string;
  readonly #bucket: string;
  readonly #requests: S3Requests;
  readonly #nowMs: () => number;
  /** Uploads that are being given up. */
  readonly #aborts = new Set<Promise<void>>();

  /** Errors: credentialsMissing. Whether the bucket is there the first operation tells. */
  constructor(options: S3Options, limits: S3Limits = DEFAULT_S3_LIMITS, nowMs: () => number = Date.now) {
    const { bucket, prefix, accessKeyId, secretAccessKey } = options;
    this.url = `s3://${bucket}${prefix && `/${prefix}`}`;
    if (accessKeyId.trim() === '' || secretAccessKey.trim() === '') {
      throw archiveErrors.credentialsMissing(this.url);
    }
    this.#bucket = bucket;
    this.#prefix = prefix && `${prefix}/`;
    this.#requests = new S3Requests(this.url, options, limits);
    this.#nowMs = nowMs;
  }

  async put(name: string, content: Buffer | AsyncIterable<Buffer>, call: StoreCall): Promise<PutResult> {
    checkName(name);
    const deadline = new Deadline(this.url, `storing ${name}`, call);
    deadline.check();
    if (Buffer.isBuffer(content) && content.length <= SINGLE_SIZE_BYTES_MAX) {
      await this.#putSingle(name, content, deadline);
      return { sizeBytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
    }
    const pieces = Buffer.isBuffer(content) ? piecesOf(content) : content;
    return deadline.race(this.#putParts(name, pieces, deadline));
  }

  async #putSingle(name: string, body: Buffer, deadline: Deadline): Promise<void> {
    await this.#requests.run({ deadline, doing: `storing ${name}`, body }, async (client) => {
      const response = await client.putObject(this.#key(name), body);
      await response.body?.cancel();
    });
  }

  async #putParts(name: string, pieces: AsyncIterable<Buffer>, deadline: Deadline): Promise<PutResult> {
    const hash = createHash('sha256');
    const part = Buffer.allocUnsafe(PART_SIZE_BYTES);
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

  get(name: string, call: StoreCall): AsyncGenerator<Buffer, void, undefined> {
    return new S3Download(this.#requests, { url: this.url, name, key: this.#key(name), call }).pieces();
  }

  async *list(prefix: string, call: StoreCall): AsyncGenerator<StoredObject, void, undefined> {
    checkPrefix(prefix);
    const doing = 'listing the objects';
    const task = { deadline: new Deadline(this.url, doing, call), doing, expectsXml: true };
    let next: string | undefined;
    do {
      const page = await this.#requests.run(task, (client) =>
        client.listObjectsPaged('/', this.#prefix + prefix, PAGE_OBJECTS, next),
      );
      if (!page) throw archiveErrors.bucketMissing(this.url, this.#bucket);
      for (const { Key: key, Size: sizeBytes } of page.objects ?? []) {
        const name = key.slice(this.#prefix.length);
        // Others may keep theirs in the bucket, too.
        if (isName(name)) yield { name, sizeBytes };
      }
      next = page.nextContinuationToken;
    } while (next !== undefined);
  }

  async delete(name: string, call: StoreCall): Promise<void> {
    checkName(name);
    const doing = `deleting ${name}`;
    const task = { deadline: new Deadline(this.url, doing, call), doing };
    await this.#requests.run(task, async (client) => {
      try {
        await client.deleteObject(this.#key(name));
      } catch (error) {
        // Most servers do not even say so.
        if (!isNotFound(error)) throw error;
      }
    });
  }

  async removeLeftovers(call: StoreCall): Promise<number> {
    const doing = 'removing what broken-off stores left behind';
    const task = { deadline: new Deadline(this.url, doing, call), doing };
    let count = 0;
    for await (const { key, id, beginMs } of listS3Uploads(this.#requests, task, this.#prefix)) {
      if (this.#nowMs() - beginMs < LEFTOVER_AGE_MS) continue;
      await this.#requests.run(task, (client) => client.abortMultipartUpload(key, id));
      count++;
    }
    return count;
  }

  async close(): Promise<void> {
    await Promise.all(this.#aborts);
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
