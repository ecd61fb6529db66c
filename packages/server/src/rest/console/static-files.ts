import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** What the page may do: run and style itself, and ask this listener. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const INDEX = 'index.html';
/** Names that change with their content: a browser need never ask again. */
const hashed = /-[0-9A-Z]{8}[.]\w+$/;
const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
};
const NOT_BUILT = 'the console is not part of this build: run "npm run build"\n';

interface StaticFile {
  readonly type: string;
  readonly tag: string;
  readonly cacheControl: string;
  readonly bytes: Buffer;
  readonly gzipped: Buffer;
}

/** The page's files, which are read when the first of them is asked for, and stay in memory. */
export class StaticFiles {
  readonly #directory: URL;
  #files: Promise<ReadonlyMap<string, StaticFile>> | undefined;

  constructor(directory: URL) {
    this.#directory = directory;
  }

  /** Answers with a file; undefined: the page itself. */
  async send(name: string | undefined, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const files = await this.#all();
    secure(reply);
    const file = files.get(name ?? INDEX);
    if (file === undefined) {
      if (name !== undefined) return reply.callNotFound() as never;
      return reply.status(503).type('text/plain; charset=utf-8').send(NOT_BUILT);
    }
    const { type, tag, cacheControl, bytes, gzipped } = file;
    reply.header('ETag', tag).header('Cache-Control', cacheControl).header('Vary', 'Accept-Encoding');
    if (request.headers['if-none-match'] === tag) return reply.status(304).send();
    reply.type(type);
    if (!/\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))) return reply.send(bytes);
    return reply.header('Content-Encoding', 'gzip').send(gzipped);
  }

  #all(): Promise<ReadonlyMap<string, StaticFile>> {
    this.#files ??= readFiles(this.#directory).catch((error: unknown) => {
      // It may be found again, as when there were too few descriptors.
      this.#files = undefined;
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
      throw error;
    });
    return this.#files;
  }
}

/** Adds the headers that keep what is shown from being used by other sites, or read as something that it is not. */
export function secure(reply: FastifyReply): FastifyReply {
  return reply
    .header('Content-Security-Policy', CONTENT_SECURITY_POLICY)
    .header('X-Content-Type-Options', 'nosniff')
    .header('Referrer-Policy', 'no-referrer')
    .header('Cross-Origin-Resource-Policy', 'same-origin')
    .header('Cross-Origin-Opener-Policy', 'same-origin');
}

async function readFiles(directory: URL): Promise<ReadonlyMap<string, StaticFile>> {
  const compress = promisify(gzip);
  const files = new Map<string, StaticFile>();
  for (const name of await readdir(directory)) {
    const type = types[name.slice(name.lastIndexOf('.') + 1)];
    if (type === undefined) continue;
    const bytes = await readFile(new URL(name, directory));
    files.set(name, {
      type,
      tag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`,
      cacheControl: hashed.test(name) ? 'public, max-age=31536000, immutable' : 'no-cache',
      bytes,
      gzipped: await compress(bytes, { level: constants.Z_BEST_COMPRESSION }),
    });
  }
  return files;
}
