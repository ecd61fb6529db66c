/**
 * The bytes are not a well-formed message of the type asked for: truncated, nested too deeply, or in
 * breach of the protobuf encoding. Every malformed input ends in this error and in no other.
 */
export class WireError extends Error {
  override readonly name = 'WireError';
}
