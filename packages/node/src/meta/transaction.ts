import { mvcc } from '@coxswain/protocol';

const NOTHING = Buffer.alloc(0);

export function remove(key: Buffer): mvcc.RequestOp {
  return {
    request: { $case: 'requestDeleteRange', value: mvcc.RequestOp_DeleteRange.fromPartial({ key }) },
  };
}

/** Holds where the key was last written at that revision; 0: there is no such key. */
export function modRevisionIs(key: Buffer, modRevision: number): mvcc.Compare {
  return {
    result: mvcc.Compare_CompareResult.EQUAL,
    target: mvcc.Compare_CompareTarget.MOD,
    key,
    targetUnion: { $case: 'modRevision', value: BigInt(modRevision) },
    rangeEnd: NOTHING,
  };
}

export function put(key: Buffer, value: Buffer): mvcc.RequestOp {
  return {
    request: {
      $case: 'requestPut',
      value: mvcc.RequestOp_Put.fromPartial({ key, value }),
    },
  };
}

export function versionIs(key: Buffer, version: number): mvcc.Compare {
  return {
    result: mvcc.Compare_CompareResult.EQUAL,
    target: mvcc.Compare_CompareTarget.VERSION,
    key,
    targetUnion: { $case: 'version', value: BigInt(version) },
    rangeEnd: NOTHING,
  };
}

export function transaction(compare: mvcc.Compare[], success: mvcc.RequestOp[]): mvcc.Command {
  return mvcc.Command.fromPartial({
    type: mvcc.Command_CommandType.TXN,
    txn: { compare, success, failure: [] },
  });
}
