import type { UploadPart } from 's3mini';
import { Deadline } from '../deadline.js';
import { archiveErrors } from '../errors.js';
import { isNoSuchKey, isNoSuchUpload, S3AnswerError } from './s3-errors.js';
import type { S3Requests, S3Task } from './s3-requests.js';

/** The most parts of an upload: S3's limit. */
const PARTS_MAX = 10_000;
/** Milliseconds added for completing an upload: the server puts the parts together before it answers. */
const COMPLETE_MS = 120_000;
const ABORT_MS = 10_000;

/** Stores one object in parts; the object is there once `complete` has resolved. Callers make one call at a time. */
export class S3Upload {
  readonly #requests: S3Requests;
  readonly #url: string;
  readonly #name: string;
  readonly #key: string;
  readonly #id: string;
  readonly #deadline: Deadline;
  readonly #parts: UploadPart[] = [];
  #sizeBytes = 0;

  private constructor({ requests, url, name, key, deadline }: S3UploadOptions, id: string) {
    this.#requests = requests;
    this.#url = url;
    this.#name = name;
    this.#key = key;
    this.#deadline = deadline;
    this.#id = id;
  }

  /**
   * Begins an upload. When the request is made twice the server begins two, and the one that nobody knows of is left
   * over (`ObjectStore.removeLeftovers`).
   */
  static async begin(options: S3UploadOptions): Promise<S3Upload> {
    const { requests, key, deadline, name } = options;
    const task = { deadline, doing: `storing ${name}`, key, root: 'InitiateMultipartUploadResult' };
    const id = await requests.run(task, (client) => client.getMultipartUploadId(key));
    return new S3Upload(options, id);
  }

  /** Sends the next part, and does not keep `body`. Rejects with objectTooLarge above 10,000 parts. */
  async add(body: Buffer): Promise<void> {
    const number = this.#parts.length + 1;
    if (number > PARTS_MAX) {
      const { partSizeBytes } = this.#requests.limits;
      throw archiveErrors.objectTooLarge(this.#url, this.#name, PARTS_MAX * partSizeBytes);
    }
    const task = { deadline: this.#deadline, doing: `storing ${this.#name}`, key: this.#key, body };
    const part = await this.#requests.run(task, (client) =>
      client.uploadPart(this.#key, this.#id, body, number),
    );
    this.#parts.push(part);
    this.#sizeBytes += body.length;
  }

  /** Completes the upload: the object is there when this resolves. */
  async complete(): Promise<void> {
    const doing = `storing ${this.#name}`;
    const root = 'CompleteMultipartUploadResult';
    const task = { deadline: this.#deadline, doing, key: this.#key, extraMs: COMPLETE_MS, root };
    let attempts = 0;
    await this.#requests.run(task, async (client) => {
      attempts++;
      try {
        const result = await client.completeMultipartUpload(this.#key, this.#id, this.#parts);
        if (result.etag === undefined) throw new S3AnswerError('the server does not say what it has stored');
      } catch (error) {
        // The upload is complete when only the answer to an earlier attempt was lost.
        if (attempts === 1 || !isNoSuchUpload(error)) throw error;
        const sizeBytes = await client.getContentLength(this.#key).catch(absentAsUndefined);
        if (sizeBytes !== this.#sizeBytes) throw error;
      }
    });
  }

  /**
   * Gives the upload up and removes its parts, as far as that succeeds; `ObjectStore.removeLeftovers` removes the rest.
   * Never rejects.
   */
  async abort(): Promise<void> {
    const doing = `giving up storing ${this.#name}`;
    const task = { deadline: new Deadline(this.#url, doing, { timeoutMs: ABORT_MS }), doing, key: this.#key };
    await this.#requests
      .run(task, (client) => client.abortMultipartUpload(this.#key, this.#id))
      .catch(() => undefined);
  }
}

function absentAsUndefined(error: unknown): undefined {
  if (!isNoSuchKey(error)) throw error;
}

/** The object to store, and the place to store it in. */
interface S3UploadOptions {
  readonly requests: S3Requests;
  /** The URL of the store. */
  readonly url: string;
  readonly name: string;
  /** The object's name within the bucket. */
  readonly key: string;
  readonly deadline: Deadline;
}

/**
 * Yields the uploads in the bucket that anybody has begun, and nobody has completed or given up. `beginMs` is the time
 * of the begin, in milliseconds since 1970.
 */
export async function* listS3Uploads(
  requests: S3Requests,
  task: S3Task,
): AsyncGenerator<{ readonly key: string; readonly id: string; readonly beginMs: number }, void, undefined> {
  let markers: Readonly<Record<string, string>> = {};
  for (;;) {
    const answer = (await requests.run({ ...task, root: 'ListMultipartUploadsResult' }, (client) =>
      client.listMultipartUploads('/', '', 'GET', { ...markers }),
    )) as unknown as UploadsAnswer;
    const page = answer.ListMultipartUploadsResult;
    if (page === undefined || typeof page !== 'object') return;
    const uploads = page.Upload === undefined ? [] : [page.Upload].flat();
    for (const { Key: key, UploadId: id, Initiated: begin } of uploads) {
      yield { key, id, beginMs: Date.parse(begin) };
    }
    if (page.IsTruncated !== 'true' || !page.NextKeyMarker) return;
    markers = { 'key-marker': page.NextKeyMarker, 'upload-id-marker': page.NextUploadIdMarker ?? '' };
  }
}

interface UploadsAnswer {
  readonly ListMultipartUploadsResult?: {
    readonly Upload?: UploadAnswer | readonly UploadAnswer[];
    readonly IsTruncated?: string;
    readonly NextKeyMarker?: string;
    readonly NextUploadIdMarker?: string;
  };
}

interface UploadAnswer {
  readonly Key: string;
  readonly UploadId: string;
  readonly Initiated: string;
}
