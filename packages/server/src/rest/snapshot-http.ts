import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ApiError, Status } from '@coxswain/node';
import { LIVE_SNAPSHOTS_PATH, type SnapshotDownloads, type SnapshotSource } from '@coxswain/replication';
import type { Clock, Log } from '@coxswain/runtime';
import { serverEvents } from '../events.js';

/** The time in milliseconds that a download may take, as long as Snapshot.Stream. */
const DOWNLOAD_MS = 3_600_000;
/** The time in milliseconds within which the table must answer. */
const OPEN_MS = 10_000;
/** The time in milliseconds after which a client that takes nothing, or sends nothing, is disconnected. */
const SILENCE_MS = 120_000;
const HEADERS_MS = 5_000;
const HEADER_BYTES_MAX = 16 * 1024;

/** The options of the HTTP/1.1 downloads of snapshots. */
export interface SnapshotHttpOptions {
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Serves `GET /snapshots-live/TABLE` over HTTP/1.1, from which Armada's followers download snapshots: the bytes of
 * Snapshot.Stream in one body. When a body cannot be completed, the connection is broken off. A Range is served with
 * If-Range and the ETag of the download that broke off. A Range alone is not, since the snapshot may be another one by
 * now; then 200 has all of it, which clients take for a new beginning. The trailer Repr-Digest has the SHA-256 of the
 * whole snapshot.
 */
export class SnapshotHttp {
  readonly #downloads: SnapshotDownloads;
  readonly #source: SnapshotSource;
  readonly #options: SnapshotHttpOptions;
  readonly #http: Server;
  readonly #busy = new Set<Socket>();
  #isLeaving = false;

  constructor(downloads: SnapshotDownloads, source: SnapshotSource, options: SnapshotHttpOptions) {
    this.#downloads = downloads;
    this.#source = source;
    this.#options = options;
    this.#http = createServer(
      { headersTimeout: HEADERS_MS, requestTimeout: HEADERS_MS, maxHeaderSize: HEADER_BYTES_MAX },
      (request, response) => void this.#answer(request, response),
    );
    this.#http.timeout = SILENCE_MS;
    // As Node does by default, this answers a client that does not speak HTTP with a 400.
    this.#http.on('clientError', (_error, socket) => {
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
      else socket.destroy();
    });
  }

  /** Serves a connection from which nothing has been read. */
  accept(socket: Socket): void {
    this.#http.emit('connection', socket);
  }

  /** Ends a connection as the node leaves: now when it has no download, else when that ends. */
  leave(socket: Socket): void {
    this.#isLeaving = true;
    if (!this.#busy.has(socket)) socket.destroy();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    this.#busy.add(socket);
    try {
      const table = tableOf(request.url ?? '');
      if (table === undefined) refuse(response, 404, 'not found');
      else if (request.method === 'GET') await this.#send(table, request, response);
      else if (request.method === 'HEAD') await this.#describe(table, response);
      else refuse(response.setHeader('Allow', 'GET, HEAD'), 405, 'method not allowed');
    } catch (error) {
      this.#fail(response, error);
    } finally {
      this.#busy.delete(socket);
      if (this.#isLeaving) socket.destroySoon();
    }
  }

  async #describe(table: string, response: ServerResponse): Promise<void> {
    const snapshot = await this.#source.openSnapshot(table, this.#call(OPEN_MS));
    const { tag } = snapshot;
    snapshot.close();
    response.writeHead(200, headersOf(tag)).end();
  }

  async #send(table: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const deadlineMs = this.#options.clock.monotonicMs() + DOWNLOAD_MS;
    const wanted = resumedAt(request);
    const download = await this.#downloads.begin({ table, ...wanted }, this.#call(OPEN_MS));
    const { from, sizeBytes } = download;
    if (sizeBytes !== undefined && from >= sizeBytes) {
      download.end();
      refuse(response.setHeader('Content-Range', `bytes */${sizeBytes}`), 416, 'the snapshot is shorter');
      return;
    }
    const headers = { ...headersOf(download.tag), Trailer: 'Repr-Digest' };
    if (sizeBytes === undefined) response.writeHead(200, headers);
    else {
      response.writeHead(206, { ...headers, 'Content-Range': `bytes ${from}-${sizeBytes - 1}/${sizeBytes}` });
    }
    const hash = createHash('sha256');
    for await (const bytes of download.bytes((seen) => hash.update(seen))) {
      if (response.destroyed || this.#options.clock.monotonicMs() >= deadlineMs) {
        response.destroy();
        return;
      }
      if (!response.write(bytes)) await drained(response);
    }
    if (response.destroyed) return;
    response.addTrailers({ 'Repr-Digest': `sha-256=:${hash.digest('base64')}:` });
    response.end();
    this.#options.log(serverEvents.snapshotDownloaded, {
      table,
      leaderIndex: download.leaderIndex,
      peer: request.socket.remoteAddress ?? '',
    });
  }

  #fail(response: ServerResponse, error: unknown): void {
    // An answer that has begun can only be broken off: its regular end would be mistaken for that of the snapshot.
    if (response.headersSent) response.destroy();
    else if (!(error instanceof ApiError))
      refuse(response, 500, 'internal error: the log of the node says more');
    else if (error.status === Status.NotFound) refuse(response, 404, error.message);
    else refuse(response.setHeader('Retry-After', '1'), 503, error.message);
    if (error instanceof ApiError) return;
    this.#options.log(serverEvents.snapshotDownloadFailed, {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  }

  #call(forMs: number): { deadlineMs: number } {
    return { deadlineMs: this.#options.clock.monotonicMs() + forMs };
  }
}

/** Resolves when more can be written, or nobody reads any more. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
    if (response.destroyed) done();
  });
}

function headersOf(tag: string): Record<string, string> {
  return { 'Content-Type': 'application/octet-stream', ETag: `"${tag}"`, 'Accept-Ranges': 'bytes' };
}

/** Returns the table that a path names; undefined when the path is not that of a snapshot. */
function tableOf(url: string): string | undefined {
  const path = url.split('?', 1)[0]!;
  const prefix = `/${LIVE_SNAPSHOTS_PATH}`;
  if (!path.startsWith(prefix) || path.length === prefix.length) return undefined;
  try {
    return decodeURIComponent(path.slice(prefix.length));
  } catch {
    return undefined;
  }
}

/**
 * Reads the headers with which a download is continued: `Range: bytes=N-` with `If-Range: "TAG"`. Anything else asks
 * for all of a new snapshot.
 */
function resumedAt({ headers }: IncomingMessage): { tag: string | undefined; from: number } {
  const from = /^bytes=(\d{1,15})-$/u.exec(headers.range ?? '')?.[1];
  const tag = /^"([^"]+)"$/u.exec(String(headers['if-range'] ?? ''))?.[1];
  return from === undefined || tag === undefined ? { tag: undefined, from: 0 } : { tag, from: Number(from) };
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}
