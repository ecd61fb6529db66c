import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

type Reply<Response> = { readonly response: Response } | { readonly failure: string };

/**
 * A process of the benchmark's own that answers requests, one at a time. The measured and the measuring code each have
 * a process to themselves, so that neither takes the other's event loop or heap.
 */
export class WorkerProcess<Request extends object, Response extends object> {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  #pending: { resolve(response: Response): void; reject(error: Error): void } | undefined;

  /** `script` is the name of a module in this folder, without its extension, that calls `serveRequests`. */
  constructor(script: string) {
    this.#name = script;
    // A process group of its own keeps a terminal's SIGINT from it: its parent ends it.
    this.#child = fork(fileURLToPath(new URL(`./${script}.js`, import.meta.url)), { detached: true });
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        this.#pending?.reject(new Error(`${script} ended with ${signal ?? `code ${code}`}`));
        this.#pending = undefined;
        resolve();
      });
    });
    this.#child.on('message', (message) => {
      const reply = message as Reply<Response>;
      const pending = this.#pending;
      this.#pending = undefined;
      if ('failure' in reply) pending?.reject(new Error(reply.failure));
      else pending?.resolve(reply.response);
    });
  }

  get processId(): number {
    return this.#child.pid!;
  }

  /**
   * Sends a request and resolves with the answer.
   *
   * @throws Error with the worker's own message, or when the worker has ended
   */
  request(request: Request): Promise<Response> {
    if (this.#pending !== undefined) throw new Error(`${this.#name} is still busy`);
    if (!this.#child.connected) return Promise.reject(new Error(`${this.#name} has ended`));
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      this.#child.send(request);
    });
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

/** The worker's side: answers each request, and ends when the parent is gone. */
export function serveRequests<Request extends object, Response extends object>(
  handle: (request: Request) => Promise<Response>,
): void {
  process.on('message', (request) => {
    handle(request as Request).then(
      (response) => process.send!({ response }),
      (error: unknown) => process.send!({ failure: error instanceof Error ? error.message : String(error) }),
    );
  });
  process.on('disconnect', () => process.exit());
}
