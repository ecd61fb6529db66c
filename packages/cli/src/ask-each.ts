import { Coxswain } from '@coxswain/client';
import { type ConnectionFlags, connectOptions } from './connection-flags.js';
import { renderJson, renderTable } from './output.js';

/** The answer of one endpoint, or the reason why there is none. */
export interface Answer<T> {
  readonly endpoint: string;
  readonly response?: T;
  readonly error?: string;
}

/**
 * Asks every endpoint by itself, all at the same time. The answer of an endpoint that fails has `error`. Never rejects
 * for a call that failed.
 */
export function askEach<T>(
  flags: ConnectionFlags,
  ask: (client: Coxswain) => Promise<T>,
): Promise<Answer<T>[]> {
  const options = connectOptions(flags);
  return Promise.all(
    options.endpoints.map(async (endpoint): Promise<Answer<T>> => {
      try {
        const client = await Coxswain.connect({ ...options, endpoints: [endpoint] });
        try {
          return { endpoint, response: await ask(client) };
        } finally {
          client.close();
        }
      } catch (error) {
        return { endpoint, error: (error as Error).message };
      }
    }),
  );
}

/** Rows in the two formats for people. */
export interface Shown {
  readonly simple: readonly string[];
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Prints the rows, or `message` as JSON. */
export function print(flags: ConnectionFlags, message: object, shown: Shown): void {
  if (flags.output === 'json') process.stdout.write(renderJson(message));
  else if (flags.output === 'table') process.stdout.write(renderTable(shown.head, shown.rows));
  else process.stdout.write(shown.simple.map((line) => `${line}\n`).join(''));
}

/** Prints as `print` does, but as JSON one object for each endpoint, each on a line. */
export function printEach(flags: ConnectionFlags, answers: readonly Answer<object>[], shown: Shown): void {
  if (flags.output === 'json') process.stdout.write(answers.map((answer) => renderJson(answer)).join(''));
  else print(flags, {}, shown);
}
