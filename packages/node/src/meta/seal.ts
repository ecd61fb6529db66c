/** Makes the payload of a Seal entry: the id of the shard that takes over, or 0 for a deletion (T2). */
export function sealedBy(shardId: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(BigInt(shardId));
  return payload;
}
