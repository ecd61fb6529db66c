import { setTimeout as sleep } from 'node:timers/promises';
import { getHeapSnapshot } from 'node:v8';
import { ApiError } from '@coxswain/node';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { checkBearer, type Token } from '../grpc/bearer-token.js';

/** The longest time of a profile in seconds: it takes memory for each sample. */
const SECONDS_MAX = 60;
const SECONDS_DEFAULT = 10;
const PLAIN_TEXT = 'text/plain; charset=utf-8';
const NO_TOKEN =
  'profiles and heap snapshots show keys and values, so they need a token: set maintenance.token and present it\n';
const BAD_SECONDS = `seconds must be a number from 1 to ${SECONDS_MAX}\n`;
const BUSY = 'a profile or a heap snapshot is being taken: ask again when it is there\n';

/**
 * Adds /debug/profile, a CPU profile of the process, and /debug/heap, a snapshot of its JavaScript heap, in the formats
 * that the developer tools of browsers open. A snapshot holds up the process for as long as it takes, about a second for
 * 100 MB, and holds keys and values; so both are refused without a token, and where no token is set.
 */
export function addDebugRoutes(http: FastifyInstance, { token }: { readonly token: Token }): void {
  let isBusy = false;
  const check = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
    if (token.value === '') return reply.status(403).type(PLAIN_TEXT).send(NO_TOKEN);
    try {
      checkBearer(token, request.headers.authorization);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return reply
        .status(401)
        .header('WWW-Authenticate', 'Bearer')
        .type(PLAIN_TEXT)
        .send(`${error.message}\n`);
    }
    if (isBusy) return reply.status(409).type(PLAIN_TEXT).send(BUSY);
    return undefined;
  };
  const guarded = { exposeHeadRoute: false, onRequest: check };
  const answers = {
    401: { description: 'The request does not present the token.', ...text },
    403: { description: 'The node has no token.', ...text },
    409: { description: 'Another one is being taken.', ...text },
  };
  const tags = ['Node'];
  const security = [{ token: [] }];

  http.get<{ Querystring: { readonly seconds?: string } }>(
    '/debug/profile',
    {
      ...guarded,
      schema: {
        tags,
        security,
        summary: 'A CPU profile of the next seconds (?seconds=10), as .cpuprofile',
        response: {
          200: { description: 'The profile.', ...json },
          400: { description: BAD_SECONDS, ...text },
          ...answers,
        },
      },
    },
    async (request, reply) => {
      const seconds = Number(request.query.seconds ?? SECONDS_DEFAULT);
      if (!(seconds >= 1 && seconds <= SECONDS_MAX))
        return reply.status(400).type(PLAIN_TEXT).send(BAD_SECONDS);
      isBusy = true;
      try {
        return reply
          .type('application/json')
          .header('Content-Disposition', 'attachment; filename="coxswain.cpuprofile"')
          .send(await takeProfile(seconds * 1000));
      } finally {
        isBusy = false;
      }
    },
  );

  http.get(
    '/debug/heap',
    {
      ...guarded,
      schema: {
        tags,
        security,
        summary: 'A snapshot of the heap, as .heapsnapshot; the node stands still while it is taken',
        response: { 200: { description: 'The snapshot.', ...json }, ...answers },
      },
    },
    (_request, reply) => {
      isBusy = true;
      const snapshot = getHeapSnapshot();
      snapshot.once('close', () => {
        isBusy = false;
      });
      return reply
        .type('application/json')
        .header('Content-Disposition', 'attachment; filename="coxswain.heapsnapshot"')
        .send(snapshot);
    },
  );
}

const text = { content: { 'text/plain': { schema: { type: 'string' } } } } as const;
const json = { content: { 'application/json': { schema: { type: 'object' } } } } as const;

/** Resolves to a CPU profile of the process over the next `durationMs`, as the text of a .cpuprofile. */
async function takeProfile(durationMs: number): Promise<string> {
  const { Session } = await import('node:inspector/promises');
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await sleep(durationMs);
    const { profile } = await session.post('Profiler.stop');
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}
