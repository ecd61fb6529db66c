import { request as httpRequest } from 'node:http';
import { API_PREFIX, type ApiFailure } from '@coxswain/console';

/** An answer of the console's API. */
export interface ConsoleReply<Body = unknown> {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Body;
}

/** Headers that are sent besides those of every request; undefined leaves one of those out. */
export type Extra = Readonly<Record<string, string | undefined>>;

/** Asks the console's API of a node as a browser would, and as others might. */
export class ConsoleClient {
  readonly #url: URL;
  readonly #token: string | undefined;

  constructor(restUrl: string, token?: string) {
    this.#url = new URL(restUrl);
    this.#token = token;
  }

  get(path: string, extra: Extra = {}): Promise<ConsoleReply> {
    return this.#ask('GET', path, undefined, extra);
  }

  post<Body = unknown>(path: string, body: unknown, extra: Extra = {}): Promise<ConsoleReply<Body>> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return this.#ask('POST', path, text, { 'content-type': 'application/json', ...extra }) as Promise<
      ConsoleReply<Body>
    >;
  }

  /** The code of the error that a request is answered with, with its HTTP status: `403 foreignHost`. */
  async refusal(reply: Promise<ConsoleReply>): Promise<string> {
    const { status, body } = await reply;
    return `${status} ${(body as ApiFailure).error?.code}`;
  }

  /** Reads messages of the live stream until `isEnough`, each with its kind and its JSON. */
  async live(
    isEnough: (messages: readonly LiveMessage[]) => boolean,
    meanwhile: () => Promise<unknown> = async () => undefined,
  ): Promise<readonly LiveMessage[]> {
    const aborter = new AbortController();
    const response = await fetch(new URL(`${API_PREFIX}/live`, this.#url), {
      headers: this.#authorization(),
      signal: aborter.signal,
    });
    const messages: LiveMessage[] = [];
    let pending = '';
    let hasBegun = false;
    for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
      const parts = (pending + text).split('\n\n');
      pending = parts.pop()!;
      for (const part of parts) {
        const [, kind, data] = /^event: (\w+)\ndata: (.*)$/s.exec(part)!;
        messages.push({ kind: kind!, data: JSON.parse(data!) as Record<string, unknown> });
      }
      if (!hasBegun) {
        hasBegun = true;
        await meanwhile();
      }
      if (isEnough(messages)) break;
    }
    aborter.abort();
    return messages;
  }

  #authorization(): Record<string, string> {
    return this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` };
  }

  #ask(method: string, path: string, body: string | undefined, extra: Extra): Promise<ConsoleReply> {
    const given = Object.entries({ ...this.#authorization(), ...extra });
    const headers = Object.fromEntries(given.filter(([, value]) => value !== undefined));
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        { host: this.#url.hostname, port: this.#url.port, method, path: API_PREFIX + path, headers },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            const bytes = Buffer.concat(chunks);
            const isJson = response.headers['content-type']?.startsWith('application/json') === true;
            const content: unknown = isJson ? JSON.parse(bytes.toString()) : bytes;
            resolve({ status: response.statusCode!, headers: response.headers, body: content });
          });
          response.on('error', reject);
        },
      );
      request.on('error', reject);
      request.end(body);
    });
  }
}

export interface LiveMessage {
  readonly kind: string;
  readonly data: Record<string, unknown>;
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
