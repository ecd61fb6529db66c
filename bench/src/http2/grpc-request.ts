import {
  encodeFrame,
  FRAME_HEADER_SIZE_BYTES,
  FRAME_PAYLOAD_SIZE_BYTES_MAX,
  FrameFlag,
  FrameType,
} from '@coxswain/http2';

/**
 * The length of the prefix before each message: a flag for compression and the message's length (gRPC over HTTP/2,
 * Length-Prefixed-Message).
 */
const MESSAGE_PREFIX_SIZE_BYTES = 5;

/** Fills the variable parts of a message that was just written at `target[offset…]`. */
export type MessageFiller = (target: Buffer, offset: number) => void;

/**
 * A unary gRPC request as the bytes of its two frames, made once. Sending copies them, sets the stream id and lets
 * `fill` set the parts that differ between calls (which may not change the message's length): nothing is encoded per
 * call, so that the generator costs as little as possible beside the servers that it measures.
 *
 * Headers are literals without indexing, the same for all servers.
 */
export class GrpcRequest {
  readonly sizeBytes: number;
  /** The bytes that count in flow control: the DATA frame's payload. */
  readonly dataSizeBytes: number;
  /** A successful answer shorter than this is counted as an error, so that no server is fast by being wrong. */
  readonly responseSizeBytesMin: number;
  readonly #frames: Buffer;
  readonly #dataFrameOffset: number;
  readonly #fill: MessageFiller | undefined;

  constructor(request: {
    /** The path of the method, such as `/regatta.v1.KV/Range`. */
    readonly path: string;
    readonly authority: string;
    /** The message, of at most 16 379 bytes, so that it fits into one frame. */
    readonly message: Uint8Array;
    readonly responseSizeBytesMin?: number;
    readonly fill?: MessageFiller;
  }) {
    const { path, authority, message, responseSizeBytesMin = 0, fill } = request;
    const prefix = Buffer.alloc(MESSAGE_PREFIX_SIZE_BYTES);
    prefix.writeUInt32BE(message.length, 1);
    const payload = Buffer.concat([prefix, message]);
    if (payload.length > FRAME_PAYLOAD_SIZE_BYTES_MAX)
      throw new Error('the message does not fit into one frame');
    const headers = encodeFrame(
      FrameType.headers,
      FrameFlag.endHeaders,
      0,
      encodeRequestHeaders(path, authority),
    );
    this.#frames = Buffer.concat([headers, encodeFrame(FrameType.data, FrameFlag.endStream, 0, payload)]);
    this.#dataFrameOffset = headers.length;
    this.#fill = fill;
    this.sizeBytes = this.#frames.length;
    this.dataSizeBytes = payload.length;
    this.responseSizeBytesMin = responseSizeBytesMin;
  }

  /** Writes both frames at `target[offset…]`, where `sizeBytes` must be free. */
  writeTo(target: Buffer, offset: number, streamId: number): void {
    this.#frames.copy(target, offset);
    target.writeUInt32BE(streamId, offset + 5);
    target.writeUInt32BE(streamId, offset + this.#dataFrameOffset + 5);
    this.#fill?.(
      target,
      offset + this.#dataFrameOffset + FRAME_HEADER_SIZE_BYTES + MESSAGE_PREFIX_SIZE_BYTES,
    );
  }
}

/** Encodes the header block; indices are those of the static table (RFC 7541, Appendix A). */
function encodeRequestHeaders(path: string, authority: string): Buffer {
  return Buffer.concat([
    Buffer.from([0x80 | 3]), // :method POST
    Buffer.from([0x80 | 6]), // :scheme http
    Buffer.from([4]), // :path
    encodeString(path),
    Buffer.from([1]), // :authority
    encodeString(authority),
    Buffer.from([0x0f, 31 - 15]), // content-type
    encodeString('application/grpc'),
    Buffer.from([0]),
    encodeString('te'),
    encodeString('trailers'),
  ]);
}

/** Encodes a string literal without Huffman coding (RFC 7541, 5.2). */
function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length >= 127) throw new Error('a header value of more than 126 bytes');
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}
