export { compareKeys, type KeyPlace } from './key-place.js';
export { PairRecord, REVISION_MAX } from './pair-record.js';
export {
  compressToFrames,
  FrameDecompressor,
  FramesTooLargeError,
  STREAM_IDENTIFIER,
} from './snappy-frames.js';
export { SnapshotDamagedError } from './snapshot-damaged-error.js';
export { readSnapshotRecords, SnapshotRecords } from './snapshot-records.js';
