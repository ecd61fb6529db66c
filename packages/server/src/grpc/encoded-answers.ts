import type { Header } from '@coxswain/node';
import type { EncodedPairs } from '@coxswain/table';

/** The tags (field number and wire type) of regatta.v1.RangeResponse, PutResponse and their ResponseHeader. */
const HEADER = (1 << 3) | 2;
const MORE = 4 << 3;
const COUNT = 5 << 3;
const SHARD_ID = 1 << 3;
const REPLICA_ID = 2 << 3;
const REVISION = 3 << 3;
const RAFT_TERM = 4 << 3;
const RAFT_LEADER_ID = 5 << 3;

/**
 * The bytes of an answer before its pairs. Six integers of at most 53 bits and a flag, with their tags and the header's
 * length, take less.
 */
const head = Buffer.allocUnsafe(96);
let end = 0;

/**
 * Encodes a RangeResponse of pairs that are encoded already. A decoder reads the same message from it as from the
 * generated code's bytes.
 */
export function encodeRange(header: Header, pairs: EncodedPairs): Buffer {
  putHeader(header);
  if (pairs.more) putInteger(MORE, 1);
  putInteger(COUNT, pairs.count);
  const message = Buffer.allocUnsafe(end + pairs.sizeBytes);
  copyHead(message);
  pairs.copyTo(message, end);
  return message;
}

/** Encodes a PutResponse without the pair that was there before. */
export function encodePut(header: Header): Buffer {
  putHeader(header);
  const message = Buffer.allocUnsafe(end);
  copyHead(message);
  return message;
}

function copyHead(target: Buffer): void {
  for (let at = 0; at < end; at++) target[at] = head[at]!;
}

function putHeader(header: Header): void {
  // The header's length takes one byte, since it is less than 128.
  end = 2;
  putInteger(SHARD_ID, header.shardId);
  putInteger(REPLICA_ID, header.replicaId);
  putInteger(REVISION, header.revision);
  putInteger(RAFT_TERM, header.raftTerm);
  putInteger(RAFT_LEADER_ID, header.raftLeaderId);
  head[0] = HEADER;
  head[1] = end - 2;
}

function putInteger(tag: number, value: number): void {
  if (value === 0) return;
  head[end++] = tag;
  let rest = value;
  // A number of more than 31 bits is not an integer to the processor, and takes longer.
  while (rest > 0x7fff_ffff) {
    head[end++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest >= 0x80) {
    head[end++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  head[end++] = rest;
}
