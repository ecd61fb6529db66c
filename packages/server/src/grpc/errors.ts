import { ApiError, declareErrors, Status } from '@coxswain/node';

const declare = (status: Status, message: string) => () => new ApiError(status, message);

/**
 * Every error of the listener itself, declared once: the errors that refuse a request before its method sees it, and
 * those of health, metrics and reflection.
 */
export const transportErrors = declareErrors({
  methodUnknown: (path: string) =>
    new ApiError(Status.Unimplemented, `The server does not implement the method ${path}`),
  timeoutMalformed: (name: string, header: string) =>
    new ApiError(
      Status.InvalidArgument,
      `the header ${name} is ${JSON.stringify(header)}: send up to eight digits and one of the units H, M, S, m, u and n, as in 250m`,
    ),
  messageMissing: declare(Status.Unimplemented, 'the request has no message'),
  messagesTooMany: declare(Status.Unimplemented, 'the request has more than one message'),
  messageTooLarge: (detail: string) => new ApiError(Status.ResourceExhausted, detail),
  messageCutOff: declare(Status.Internal, 'the request ends in the middle of a message'),
  messageUndecodable: (cause: unknown) =>
    new ApiError(Status.Internal, 'Error deserializing request', { cause }),
  messageFlagInvalid: declare(Status.Internal, 'the flag before a message is neither 0 nor 1'),
  compressionNotNamed: declare(
    Status.Internal,
    'a message is compressed, but grpc-encoding does not say how',
  ),
  compressionUnknown: (encoding: string) =>
    new ApiError(Status.Unimplemented, `messages are compressed with ${encoding}, which is not known`),
  decompressionFailed: declare(Status.Internal, 'Failed to decompress message'),
  internal: declare(Status.Internal, 'internal error: the log of the node says more'),
  reflectionFailed: (detail: string) => new ApiError(Status.Internal, `reflection: ${detail}`),
  serviceUnknown: declare(Status.NotFound, 'unknown service'),
  metricsFormatUnknown: declare(Status.Unimplemented, 'format is not yet supported'),
  metricsTooLong: (lengthBytes: number) =>
    new ApiError(
      Status.ResourceExhausted,
      `the metrics take ${lengthBytes} bytes, more than a message may have: read /metrics of the REST listener`,
    ),
  notHealthy: (status: Status, conditions: string) => new ApiError(status, conditions),
});
