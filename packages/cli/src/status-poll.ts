import { Coxswain } from '@coxswain/client';
import type { regatta } from '@coxswain/protocol';
import type { Answer } from './ask-each.js';
import { type ConnectionFlags, connectOptions } from './connection-flags.js';

/** Milliseconds between the beginnings of two questions to the same endpoint. */
export const POLL_MS = 1_000;
/** Milliseconds after which a question that is not answered counts as a fault. */
const SILENCE_MS = 1_500;

type StatusAnswer = Answer<regatta.StatusResponse>;

/**
 * Asks every endpoint for its status once a second, each by itself, so that one that hangs holds up no other. There is one
 * question under way to an endpoint at most, over a connection that stays.
 */
export class StatusPoll {
  readonly #endpoints: readonly Endpoint[];

  /** Begins to ask; `onAnswer` is called after each answer and each failure. */
  constructor(flags: ConnectionFlags, onAnswer: () => void) {
    const options = connectOptions(flags);
    const connect = (endpoint: string): Promise<Coxswain> =>
      Coxswain.connect({ ...options, endpoints: [endpoint] });
    this.#endpoints = options.endpoints.map((endpoint) => new Endpoint(endpoint, connect, onAnswer));
  }

  /** The newest answer of each endpoint; undefined until each has answered or failed once. */
  get answers(): StatusAnswer[] | undefined {
    const answers = this.#endpoints.map((endpoint) => endpoint.answer());
    return answers.includes(undefined) ? undefined : (answers as StatusAnswer[]);
  }

  /** Ends all questions. */
  stop(): void {
    for (const endpoint of this.#endpoints) endpoint.stop();
  }
}

class Endpoint {
  readonly #address: string;
  readonly #connect: (endpoint: string) => Promise<Coxswain>;
  #client: Coxswain | undefined;
  #newest: StatusAnswer | undefined;
  #askedAtMs = 0;
  #isAsking = false;
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(address: string, connect: (endpoint: string) => Promise<Coxswain>, onAnswer: () => void) {
    this.#address = address;
    this.#connect = connect;
    void this.#ask(onAnswer);
  }

  answer(): StatusAnswer | undefined {
    const silentMs = performance.now() - this.#askedAtMs;
    if (!this.#isAsking || silentMs < SILENCE_MS || this.#newest?.error !== undefined) return this.#newest;
    return { endpoint: this.#address, error: `no answer for ${Math.floor(silentMs / 1000)} s` };
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#client?.close();
  }

  async #ask(onAnswer: () => void): Promise<void> {
    this.#askedAtMs = performance.now();
    this.#isAsking = true;
    try {
      this.#client ??= await this.#connect(this.#address);
      this.#newest = { endpoint: this.#address, response: await this.#client.cluster.status() };
    } catch (error) {
      this.#client?.close();
      this.#client = undefined;
      this.#newest = { endpoint: this.#address, error: (error as Error).message };
    }
    this.#isAsking = false;
    if (this.#isStopped) {
      this.#client?.close();
      return;
    }
    onAnswer();
    const restMs = Math.max(0, this.#askedAtMs + POLL_MS - performance.now());
    this.#timer = setTimeout(() => void this.#ask(onAnswer), restMs);
  }
}
