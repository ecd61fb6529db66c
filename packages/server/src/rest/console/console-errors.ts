import { ApiError, declareErrors, Status } from '@coxswain/node';

const declare = (status: Status, message: string) => () => new ApiError(status, message);

/** The errors of the console's API that no other service has. */
export const consoleErrors = declareErrors({
  foreignHost: (host: string) =>
    new ApiError(
      Status.PermissionDenied,
      `the name ${host} is not known as one of this node: use its address, or add the name to rest.host-names`,
    ),
  foreignOrigin: declare(
    Status.PermissionDenied,
    'the request comes from a page of another site: open the console of this node itself',
  ),
  changesNeedToken: declare(
    Status.PermissionDenied,
    'nothing can be changed here while no token guards the API: start the node with rest.console-token',
  ),
  notServed: (option: string) =>
    new ApiError(Status.PermissionDenied, `this is switched off by ${option}=false`),
  badRequest: (reason: string, cause?: unknown) =>
    new ApiError(Status.InvalidArgument, `the request is not understood: ${reason}`, { cause }),
  pathUnknown: declare(Status.NotFound, 'the console has no such path'),
  bodyTooLarge: declare(Status.ResourceExhausted, 'the request is larger than 4 MiB'),
  tooManyStreams: declare(
    Status.Unavailable,
    'as many pages as a node serves show it already: close one of them',
  ),
  memberUnknown: (id: number) => new ApiError(Status.NotFound, `no member of the cluster has the id ${id}`),
  actionRefused: (reason: string) => new ApiError(Status.FailedPrecondition, reason),
  noArchive: declare(Status.NotFound, 'no archive is configured (archive.target)'),
  archiveUnread: (reason: string) =>
    new ApiError(Status.Unavailable, `the archive cannot be read: ${reason}`),
  downloadUnknown: declare(
    Status.NotFound,
    'the download has begun already, or a minute has passed: ask for the backup again',
  ),
});
