import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { eventually, findFreePorts, TemporaryDirectory } from '@coxswain/testing';

const BUCKET = 'bucket';
const KEYS = 'S3RVER';

/** A bucket of an S3 server in a process of its own, which can be away. */
export class Bucket {
  readonly #directory = new TemporaryDirectory();
  readonly #port: number;
  #server: ChildProcess | undefined;

  private constructor(port: number) {
    this.#port = port;
  }

  static async start(): Promise<Bucket> {
    const [port] = await findFreePorts(1);
    const bucket = new Bucket(port!);
    await bucket.restart();
    return bucket;
  }

  readonly name = BUCKET;

  get host(): string {
    return '127.0.0.1';
  }

  get port(): number {
    return this.#port;
  }

  get endpoint(): string {
    return `http://${this.host}:${this.port}`;
  }

  /** The access key, which is also its id. */
  get key(): string {
    return KEYS;
  }

  /** The directory in which the server keeps the objects. */
  get path(): string {
    return this.#directory.path;
  }

  /** Returns the flags that make a node use this bucket. */
  flags(prefix: string): string[] {
    return [
      `--archive.target=s3://${BUCKET}/${prefix}`,
      `--archive.s3-endpoint=http://127.0.0.1:${this.#port}`,
      `--archive.s3-access-key-id=${KEYS}`,
      `--archive.s3-secret-access-key=${KEYS}`,
    ];
  }

  /** Starts the server on what it has on disk. */
  async restart(): Promise<void> {
    const require = createRequire(import.meta.url);
    const file = join(require.resolve('s3rver/package.json'), '..', 'bin', 's3rver.js');
    const args = ['-d', this.#directory.path, '-a', '127.0.0.1', '-p', String(this.#port), '-s'];
    this.#server = spawn(process.execPath, [file, ...args, '--configure-bucket', BUCKET], {
      stdio: 'ignore',
    });
    await eventually('the bucket is there', async () => {
      await fetch(`http://127.0.0.1:${this.#port}`);
      return true;
    });
  }

  /** Kills the server, without letting it stop in order: what it is about to store is lost. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const ended = new Promise((resolve) => server.once('close', resolve));
    server.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    this.#directory.remove();
  }
}
