import type { ApiFailure } from '@coxswain/console';
import { ApiError, Status } from '@coxswain/node';
import type { FastifyReply } from 'fastify';
import { consoleErrors } from './console-errors.js';

/** The HTTP status that says most of what a gRPC status says. */
const httpStatus: Readonly<Record<Status, number>> = {
  [Status.Unknown]: 500,
  [Status.InvalidArgument]: 400,
  [Status.DeadlineExceeded]: 504,
  [Status.NotFound]: 404,
  [Status.PermissionDenied]: 403,
  [Status.ResourceExhausted]: 413,
  [Status.FailedPrecondition]: 409,
  [Status.OutOfRange]: 400,
  [Status.Unimplemented]: 501,
  [Status.Internal]: 500,
  [Status.Unavailable]: 503,
  [Status.Unauthenticated]: 401,
};

/** Answers with an error as JSON. Gives false for what is a fault of ours, which the caller logs. */
export function sendFailure(error: unknown, reply: FastifyReply): boolean {
  const known = knownError(error);
  const { status, code, message } = known ?? {
    status: Status.Internal,
    code: 'internal',
    message: 'internal error: the log of the node says more',
  };
  if (status === Status.Unauthenticated) void reply.header('WWW-Authenticate', 'Bearer');
  const failure: ApiFailure = { error: { code, message } };
  void reply.status(httpStatus[status]).type('application/json; charset=utf-8').send(JSON.stringify(failure));
  return known !== undefined;
}

function knownError(error: unknown): ApiError | undefined {
  if (error instanceof ApiError) return error;
  // What fastify itself refuses: it reads the request before any handler sees it.
  const { code = '', statusCode = 500, message } = error as FastifyRefusal;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return consoleErrors.bodyTooLarge();
  if (code.startsWith('FST_ERR_') && statusCode < 500) return consoleErrors.badRequest(message);
  return undefined;
}

interface FastifyRefusal {
  readonly code?: string;
  readonly statusCode?: number;
  readonly message: string;
}
