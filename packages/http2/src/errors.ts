/** The reasons for which a stream or a connection is ended (RFC 9113, 7). */
export const ErrorCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  enhanceYourCalm: 0xb,
} as const;

/** The peer broke the protocol or asks for too much, so the connection must be closed (RFC 9113, 5.4.1). */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  constructor(
    /** One of `ErrorCode`. */
    readonly code: number,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`HTTP/2: ${message}`, options);
  }
}

/** Makes the error for a peer that broke the rules of the connection (RFC 9113, 5.4.1). */
export function protocolError(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.protocolError, message);
}

export function badHeaderBlock(cause: Error): ConnectionError {
  return new ConnectionError(ErrorCode.compressionError, cause.message, { cause });
}

export function windowOverflow(): ConnectionError {
  return new ConnectionError(ErrorCode.flowControlError, 'a window grew beyond 2^31-1 bytes');
}

/** Throws ConnectionError when the payload of a frame does not have the only valid size. */
export function expectSize(sizeBytes: number, expectedBytes: number): void {
  if (sizeBytes !== expectedBytes) {
    throw new ConnectionError(
      ErrorCode.frameSizeError,
      `a frame of ${sizeBytes} bytes, not ${expectedBytes}`,
    );
  }
}
