import { createHash } from 'node:crypto';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { S3mini } from 's3mini';
import type { Deadline } from '../deadline.js';
import { PIECE_SIZE_BYTES_MAX } from '../store.js';
import { declaredS3Error, isTransient, S3AnswerError, S3SilenceError, s3StatusError } from './s3-errors.js';

/** The bucket, and the way to reach it. */
export interface S3Options {
  /** `http://host:port` or `https://host:port`, where paths name buckets; empty for Amazon's server of the region. */
  readonly endpoint: string;
  /** The region; empty for us-east-1, which servers other than Amazon's accept as any region. */
  readonly region: string;
  readonly bucket: string;
  /** The prefix of the names of all objects, without a slash at its end; empty for none. */
  readonly prefix: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /**
   * True to accept every name that `isKey` accepts, not only those of an archive, for objects whose names somebody else
   * chose.
   */
  readonly takesAnyKey?: boolean;
}

/** The limits of requests to a bucket: how patient they are, and how large. */
export interface S3Limits {
  /**
   * Milliseconds without an answer, or without its next piece, after which a request is given up. The time that sending
   * a body takes is added.
   */
  readonly silenceMs: number;
  /** The most times that a request is made when it fails for a reason that may pass. */
  readonly attemptsMax: number;
  /**
   * Milliseconds of the pause before the second attempt. Each further pause is twice as long, up to 8 s; chance
   * shortens each one by up to a half.
   */
  readonly pauseLeastMs: number;
  /**
   * Bytes of every part of an upload but the last: some servers want equal parts, and Amazon's accepts no less than 5
   * MiB. A store holds this much for each object that it is storing in parts.
   */
  readonly partSizeBytes: number;
}

/** The limits of an `S3Store` that is given no others. */
export const DEFAULT_S3_LIMITS: S3Limits = {
  silenceMs: 30_000,
  attemptsMax: 5,
  pauseLeastMs: 250,
  partSizeBytes: 16 * 1024 * 1024,
};

/** One request to a bucket. */
export interface S3Task {
  readonly deadline: Deadline;
  /** Names the operation, for messages. */
  readonly doing: string;
  /** The object's name, when the request is about one that must be there. */
  readonly name?: string;
  /** The object's key within the bucket, when the request is about one object. */
  readonly key?: string;
  /**
   * The body to send. It goes with a hash, so that it arrives as it was sent or not at all, and the request gets the
   * time that sending it takes.
   */
  readonly body?: Uint8Array;
  /** Milliseconds to wait in addition to the limits that every request has. */
  readonly extraMs?: number;
  /**
   * The root element of the answer, which must be XML: anything else does not come from an S3 server. Servers name the
   * root differently, so an answer is accepted with any root but `Error`.
   */
  readonly root?: string;
}

/** The slowest connection for which a body gets enough time, in bytes per millisecond. */
const BODY_BYTES_PER_MS = 64;
/** Bytes of a body that are sent at a time. */
const SENT_SIZE_BYTES = 256 * 1024;
const PAUSE_GREATEST_MS = 8_000;
/** The most bytes of an answer that are read for an error; no server says more. */
const ERROR_BYTES_MAX = 64 * 1024;

/**
 * Sends signed requests to a bucket. Each does no harm when it is made twice, so one that fails for a reason that may
 * pass is made again, a bounded number of times, with growing pauses. Nothing is logged.
 */
export class S3Requests {
  readonly limits: S3Limits;
  readonly #url: string;
  readonly #options: S3Options;
  readonly #endpoint: string;
  readonly #region: string;

  constructor(url: string, options: S3Options, limits: S3Limits) {
    this.#url = url;
    this.#options = options;
    this.limits = limits;
    this.#region = options.region || 'us-east-1';
    this.#endpoint = options.endpoint || `https://s3.${this.#region}.amazonaws.com`;
  }

  /** Runs a task, in as many attempts as it needs and the limits allow. Rejects with ArchiveErrors only. */
  async run<T>(task: S3Task, work: (client: S3mini) => Promise<T>): Promise<T> {
    task.deadline.check();
    const md5 = task.body && (await md5Of(task.body));
    for (let failures = 1; ; failures++) {
      task.deadline.check();
      try {
        return await this.#attempt(task, md5, work);
      } catch (error) {
        await this.failed(task, error, failures);
      }
    }
  }

  #attempt<T>(task: S3Task, md5: string | undefined, work: (client: S3mini) => Promise<T>): Promise<T> {
    const aborter = new AbortController();
    const extraMs = (task.extraMs ?? 0) + (task.body?.length ?? 0) / BODY_BYTES_PER_MS;
    return this.patiently(
      task.deadline,
      aborter,
      () => work(this.client(task, aborter.signal, md5)),
      extraMs,
    );
  }

  /**
   * Runs `work`, and aborts it when the deadline passes or it takes longer than `limits.silenceMs` plus `extraMs`
   * milliseconds. Rejects with S3SilenceError in the latter case, and otherwise with the error of the work.
   */
  async patiently<T>(
    deadline: Deadline,
    aborter: AbortController,
    work: () => Promise<T>,
    extraMs = 0,
  ): Promise<T> {
    const stop = deadline.onPassed(() => aborter.abort());
    let isSilent = false;
    const timer = setTimeout(() => {
      isSilent = true;
      aborter.abort();
    }, this.limits.silenceMs + extraMs);
    try {
      return await work();
    } catch (error) {
      throw isSilent ? new S3SilenceError('no answer', { cause: error }) : error;
    } finally {
      clearTimeout(timer);
      stop();
    }
  }

  /**
   * Handles a failed attempt, after `failures` failures in a row: resolves after a pause when another attempt is worth
   * while, and otherwise rejects with the declared error.
   */
  async failed(task: S3Task, error: unknown, failures: number): Promise<void> {
    task.deadline.check();
    if (!isTransient(error) || failures >= this.limits.attemptsMax) {
      throw declaredS3Error(error, {
        url: this.#url,
        endpoint: this.#endpoint,
        bucket: this.#options.bucket,
        doing: task.doing,
        name: task.name,
        secrets: [this.#options.accessKeyId, this.#options.secretAccessKey],
      });
    }
    const pauseMs = Math.min(PAUSE_GREATEST_MS, this.limits.pauseLeastMs * 2 ** (failures - 1));
    await task.deadline.race(sleep(pauseMs * (0.5 + Math.random() / 2)));
  }

  /**
   * Makes a client for one attempt, which the signal ends. Making one costs far less than a request. The client throws
   * an S3StatusError for every refusal, since s3mini would take every 404 of some requests for absence.
   */
  client({ body, root, key }: S3Task, signal: AbortSignal, md5?: string): S3mini {
    const { bucket, accessKeyId, secretAccessKey } = this.#options;
    const extra: Record<string, string> = { 'accept-encoding': 'identity' };
    if (md5 !== undefined) extra['content-md5'] = md5;
    const send: typeof fetch = async (input, init) => {
      const headers = { ...(init?.headers as Record<string, string>), ...extra };
      // `fetch` would follow a redirection without the signature.
      const request: RequestInit = { ...init, headers, signal, redirect: 'manual' };
      const inPieces =
        body && body.length > SENT_SIZE_BYTES && ({ body: streamOf(body), duplex: 'half' } as const);
      const response = await fetch(input, { ...request, ...inPieces });
      const isOfHead = init?.method === 'HEAD';
      if (!response.ok) throw s3StatusError(response.status, await beginningOf(response), isOfHead);
      return root === undefined || isOfHead ? response : withRoot(response, root);
    };
    const endpoint = `${this.#endpoint}/${bucket}`;
    const client = new S3mini({ accessKeyId, secretAccessKey, endpoint, region: this.#region, fetch: send });
    // s3mini removes the slashes that a key begins with, which would name another object.
    client.endpoint.pathname += /^\/*/.exec(key ?? '')![0];
    return client;
  }
}

/**
 * Returns the same answer with `root` as the name of its root element. Rejects with S3AnswerError when the answer is
 * not XML, and with S3StatusError when it is an error, which may come with a status of success.
 */
async function withRoot(response: Response, root: string): Promise<Response> {
  if (!/xml/.test(response.headers.get('content-type') ?? '')) {
    await response.body?.cancel();
    throw new S3AnswerError('what answers there is no S3 server: correct archive.s3-endpoint');
  }
  const text = await response.text();
  const { status, headers } = response;
  const name = /^(?:\s|<\?[^>]*\?>|<!--.*?-->)*<([\w:.-]+)/s.exec(text)?.[1];
  if (name === 'Error') throw s3StatusError(500, text, false);
  if (name === undefined || name === root) return new Response(text, { status, headers });
  const begin = text.indexOf(`<${name}`) + 1;
  const end = text.lastIndexOf(`</${name}`) + 2;
  const renamed = `${text.slice(0, begin)}${root}${text.slice(begin + name.length, end)}${root}${text.slice(end + name.length)}`;
  return new Response(end > begin ? renamed : text, { status, headers });
}

/** Reads the beginning of an answer, up to 64 KiB: no error is longer. */
async function beginningOf(response: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const piece of response.body ?? []) {
    pieces.push(piece);
    sizeBytes += piece.length;
    if (sizeBytes >= ERROR_BYTES_MAX) break;
  }
  return Buffer.concat(pieces).toString('utf8', 0, ERROR_BYTES_MAX);
}

/**
 * Streams a body in pieces, so that sending it does not hold up the node's event loop. The request's header says how
 * long the body is.
 */
function streamOf(body: Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        if (at < body.length) controller.enqueue(body.subarray(at, at + SENT_SIZE_BYTES));
        at += SENT_SIZE_BYTES;
        if (at >= body.length) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Computes the MD5 of a body in base64, in steps of 1 MiB, between which the event loop gets a turn. */
async function md5Of(body: Uint8Array): Promise<string> {
  const hash = createHash('md5');
  for (let at = 0; at < body.length; at += PIECE_SIZE_BYTES_MAX) {
    if (at > 0) await setImmediate();
    hash.update(body.subarray(at, at + PIECE_SIZE_BYTES_MAX));
  }
  return hash.digest('base64');
}
