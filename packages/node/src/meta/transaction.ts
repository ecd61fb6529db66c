import { mvcc } from '@coxswain/protocol';

const NOTHING = Buffer.alloc(0);

/** Makes the part of a transaction that removes a key. */
export function remove(key: Buffer): mvcc.RequestOp {
  return {
    request: { $case: 'requestDeleteRange', value: mvcc.RequestOp_DeleteRange.fromPartial({ key }) },
  };
}

/** Makes the compare that holds when the key was last written at that revision; with 0, when there is no such key. */
export function modRevisionIs(key: Buffer, modRevision: number): mvcc.Compare {
  return {
    result: mvcc.Compare_CompareResult.EQUAL,
    target: mvcc.Compare_CompareTarget.MOD,
    key,
    targetUnion: { $case: 'modRevision', value: BigInt(modRevision) },
    rangeEnd: NOTHING,
  };
}

/** Makes the part of a transaction that writes a key. */
export function put(key: Buffer, value: Buffer): mvcc.RequestOp {
  return {
    request: {
      $case: 'requestPut',
      value: mvcc.RequestOp_Put.fromPartial({ key, value }),
    },
  };
}

/** Makes the compare that holds when the key has that version; with 0, when there is no such key. */
export function versionIs(key: Buffer, version: number): mvcc.Compare {
  return {
    result: mvcc.Compare_CompareResult.EQUAL,
    target: mvcc.Compare_CompareTarget.VERSION,
    key,
    targetUnion: { $case: 'version', value: BigInt(version) },
    rangeEnd: NOTHING,
  };
}

/** Makes the command that carries out `success` if every compare holds, and nothing otherwise. */
export function transaction(compare: mvcc.Compare[], success: mvcc.RequestOp[]): mvcc.Command {
  return mvcc.Command.fromPartial({
    type: mvcc.Command_CommandType.TXN,
    txn: { compare, success, failure: [] },
  });
}
