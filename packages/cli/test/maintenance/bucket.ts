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

  /** Both the access key and its id. */
  get key(): string {
    return KEYS;
  }

  /** Where the server keeps the objects. */
  get path(): string {
    return this.#directory.path;
  }

  /** What a node is told of it. */
  flags(prefix: string): string[] {
    return [
      `--archive.target=s3://${BUCKET}/${prefix}`,
      `--archive.s3-endpoint=http://127.0.0.1:${this.#port}`,
      `--archive.s3-access-key-id=${KEYS}`,
      `--archive.s3-secret-access-key=${KEYS}`,
    ];
  }

  /** On what it has on disk. */
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

  /** Without asking: what it is about to store is lost. */
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
