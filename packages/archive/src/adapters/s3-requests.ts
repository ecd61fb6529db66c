import { createHash } from 'node:crypto';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { S3mini } from 's3mini';
import type { Deadline } from '../deadline.js';
import { PIECE_SIZE_BYTES_MAX } from '../store.js';
import { declaredS3Error, isTransient, S3AnswerError, S3SilenceError, s3StatusError } from './s3-errors.js';

/** Which bucket, and how it is reached. */
export interface S3Options {
  /** `http://host:port` or `https://host:port`: buckets are named in paths. Empty: Amazon's of the region. */
  readonly endpoint: string;
  /** The region. Empty: us-east-1, which servers other than Amazon's take for any. */
  readonly region: string;
  readonly bucket: string;
  /** The prefix of the names of all objects, without a slash at its end; empty: none. */
  readonly prefix: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Names may be all that `isKey` takes, and not only those of an archive: somebody else chose them. */
  readonly takesAnyKey?: boolean;
}

/** How patient requests are, and how large. */
export interface S3Limits {
  /** How long there may be no answer, or no next piece of one, besides the time that a body takes. */
  readonly silenceMs: number;
  /** How often a request is made that fails by chance. */
  readonly attemptsMax: number;
  /** The pause before the second attempt, which doubles from then on; shortened by chance by up to a half. */
  readonly pauseLeastMs: number;
  /**
   * Every part of an upload but the last has this size: some servers want them to be equal. The least that Amazon's takes
   * is 5 MiB. A store holds as much for each object that is stored in parts.
   */
  readonly partSizeBytes: number;
}

export const DEFAULT_S3_LIMITS: S3Limits = {
  silenceMs: 30_000,
  attemptsMax: 5,
  pauseLeastMs: 250,
  partSizeBytes: 16 * 1024 * 1024,
};

/** One request of an operation. */
export interface S3Task {
  readonly deadline: Deadline;
  /** Names the operation, for messages. */
  readonly doing: string;
  /** The object, where the request is about one that must be there. */
  readonly name?: string;
  /** The key within the bucket, where the request is about one object. */
  readonly key?: string;
  /**
   * The body to send: it is sent with a hash of its own, and given time for that, so that it arrives as it was sent or
   * not at all.
   */
  readonly body?: Uint8Array;
  /** Besides the patience that every request has. */
  readonly extraMs?: number;
  /**
   * The root element of the answer, which is XML: an answer that is none comes from something else than an S3 server.
   * Servers name the root differently, and the name means nothing: it is read whatever its name is, unless that is
   * `Error`.
   */
  readonly root?: string;
}

/** The slowest connection that a body is given time for. */
const BODY_BYTES_PER_MS = 64;
/** The number of bytes that are sent at a time. */
const SENT_SIZE_BYTES = 256 * 1024;
const PAUSE_GREATEST_MS = 8_000;
/** More than any server says about an error. */
const ERROR_BYTES_MAX = 64 * 1024;

/**
 * Requests to a bucket, signed. Each does no harm when it is made twice, so one that fails by chance is made again a
 * bounded number of times, with growing pauses. Nothing is logged.
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

  /** Runs a task. Errors: ArchiveErrors only. */
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

  /** Aborts the work when the deadline passes, or when it takes longer than a server may be silent, and a bit more. */
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
   * After the given number of failures in a row, pauses before the next attempt, or throws the error that is declared
   * for it.
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
   * Makes a client for one attempt, which the signal ends. Making one costs far less than a request. Whatever a server
   * refuses is an S3StatusError: s3mini takes every 404 of some requests for absence.
   */
  client({ body, root, key }: S3Task, signal: AbortSignal, md5?: string): S3mini {
    const { bucket, accessKeyId, secretAccessKey } = this.#options;
    const extra: Record<string, string> = { 'accept-encoding': 'identity' };
    if (md5 !== undefined) extra['content-md5'] = md5;
    const send: typeof fetch = async (input, init) => {
      const headers = { ...(init?.headers as Record<string, string>), ...extra };
      // A redirection is followed without what the request is signed with.
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
    // s3mini takes slashes away that a key begins with, which would be another object's.
    client.endpoint.pathname += /^\/*/.exec(key ?? '')![0];
    return client;
  }
}

/** The same answer with a root element of this name. An error may come with a status of success. */
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

/** Reads as much of an answer as can be an error. */
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
 * Streams the body in pieces, so that the event loop of a node is not held up; the request's header says how long it is
 * in all.
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

/** Computes the MD5 in steps, since the event loop of a node waits for each. */
async function md5Of(body: Uint8Array): Promise<string> {
  const hash = createHash('md5');
  for (let at = 0; at < body.length; at += PIECE_SIZE_BYTES_MAX) {
    if (at > 0) await setImmediate();
    hash.update(body.subarray(at, at + PIECE_SIZE_BYTES_MAX));
  }
  return hash.digest('base64');
}
