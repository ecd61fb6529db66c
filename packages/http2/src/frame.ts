/** The frame types (RFC 9113, 6). */
export const FrameType = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  resetStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goAway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

/** Flag bits; ACK shares its bit with END_STREAM (RFC 9113, 6). */
export const FrameFlag = {
  acknowledge: 0x1,
  endStream: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

/** Setting identifiers (RFC 9113, 6.5.2). */
export const Setting = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
} as const;

export const FRAME_HEADER_SIZE_BYTES = 9;
/** The largest payload that may be sent to a peer that has set no other limit. */
export const FRAME_PAYLOAD_SIZE_BYTES_MAX = 16_384;
/** The size of every flow-control window before any SETTINGS or WINDOW_UPDATE. */
export const INITIAL_WINDOW_SIZE_BYTES = 65_535;
export const WINDOW_SIZE_BYTES_MAX = 2 ** 31 - 1;
export const CLIENT_PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Encodes one frame. */
export function encodeFrame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_SIZE_BYTES + payload.length);
  writeFrameHeader(frame, 0, type, flags, streamId, payload.length);
  frame.set(payload, FRAME_HEADER_SIZE_BYTES);
  return frame;
}

/** Writes the header of a frame at a place in `target`; the payload follows it. */
export function writeFrameHeader(
  target: Buffer,
  at: number,
  type: number,
  flags: number,
  streamId: number,
  payloadSizeBytes: number,
): void {
  target[at] = payloadSizeBytes >>> 16;
  target[at + 1] = payloadSizeBytes >>> 8;
  target[at + 2] = payloadSizeBytes;
  target[at + 3] = type;
  target[at + 4] = flags;
  target[at + 5] = streamId >>> 24;
  target[at + 6] = streamId >>> 16;
  target[at + 7] = streamId >>> 8;
  target[at + 8] = streamId;
}

/** Encodes a SETTINGS frame from pairs of identifier and value. */
export function encodeSettings(settings: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.allocUnsafe(settings.length * 6);
  settings.forEach(([identifier, value], index) => {
    payload.writeUInt16BE(identifier, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  });
  return encodeFrame(FrameType.settings, 0, 0, payload);
}

/** Encodes a WINDOW_UPDATE frame; stream 0 is the connection. */
export function encodeWindowUpdate(streamId: number, incrementBytes: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32BE(incrementBytes, 0);
  return encodeFrame(FrameType.windowUpdate, 0, streamId, payload);
}
