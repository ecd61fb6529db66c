/** Why a stream or a connection is ended (RFC 9113, 7). */
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

/** The peer broke the protocol, or asks too much: the connection cannot go on (RFC 9113, 5.4.1). */
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
