/** Gives the payload of a Seal: the shard that takes over, or 0 for a deletion (T2). */
export function sealedBy(shardId: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(BigInt(shardId));
  return payload;
}
