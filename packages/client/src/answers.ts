import type { Method } from '@coxswain/channel';
import { maintenance, type mvcc, regatta, toProtobufJson } from '@coxswain/protocol';

/** A key with its value, its revisions and its version. */
export class Pair implements mvcc.KeyValue {
  readonly key: Buffer;
  /** The revision at which the key was created. */
  readonly createRevision: bigint;
  /** The revision of the key's last write. */
  readonly modRevision: bigint;
  readonly value: Buffer;
  /** The number of writes since the key was created, 1 for the first. */
  readonly version: bigint;

  constructor({ key, createRevision, modRevision, value, version }: mvcc.KeyValue) {
    this.key = key;
    this.createRevision = createRevision;
    this.modRevision = modRevision;
    this.value = value;
    this.version = version;
  }

  /** Returns protobuf JSON: bytes in base64, 64-bit integers as strings, and without what is empty or 0. */
  toJSON(): object {
    return toProtobufJson(this);
  }
}

/** The prototype of answers: JSON.stringify refuses bigints, of which every answer has some. */
const answer = {
  toJSON(this: object): object {
    return toProtobufJson(this);
  },
};

/** A method of which the answer can become JSON; `withPairs` makes a `Pair` of each key with a value in it. */
function answering<Request, Response extends object>(
  { path, requestSerialize, responseDeserialize }: Method<Request, Response>,
  withPairs?: (response: Response) => void,
): Method<Request, Response> {
  return {
    path,
    requestSerialize,
    responseDeserialize: (bytes) => {
      const response = responseDeserialize(bytes);
      withPairs?.(response);
      return Object.setPrototypeOf(response, answer);
    },
  };
}

function pairUp(pairs: mvcc.KeyValue[]): void {
  for (let i = 0; i < pairs.length; i++) pairs[i] = new Pair(pairs[i]!);
}

function pairUpPrevious(response: { prevKv?: mvcc.KeyValue | undefined }): void {
  if (response.prevKv !== undefined) response.prevKv = new Pair(response.prevKv);
}

function pairUpOperation({ response }: mvcc.ResponseOp): void {
  if (response?.$case === 'responseRange') pairUp(response.value.kvs);
  else if (response?.$case === 'responseDeleteRange') pairUp(response.value.prevKvs);
  else if (response?.$case === 'responsePut') pairUpPrevious(response.value);
}

const { KVService, TablesService, ClusterService } = regatta;
const { MaintenanceService } = maintenance;

/** The methods of the API with answers that can become JSON. */
export const methods = {
  range: answering(KVService.range, ({ kvs }) => pairUp(kvs)),
  iterateRange: answering(KVService.iterateRange, ({ kvs }) => pairUp(kvs)),
  put: answering(KVService.put, pairUpPrevious),
  deleteRange: answering(KVService.deleteRange, ({ prevKvs }) => pairUp(prevKvs)),
  txn: answering(KVService.txn, ({ responses }) => responses.forEach(pairUpOperation)),
  createTable: answering(TablesService.create),
  deleteTable: answering(TablesService.delete),
  listTables: answering(TablesService.list),
  memberList: answering(ClusterService.memberList),
  status: answering(ClusterService.status),
  reset: answering(MaintenanceService.reset),
  restore: answering(MaintenanceService.restore),
  restoreArchive: answering(MaintenanceService.restoreArchive),
  promote: answering(MaintenanceService.promote),
  forgetClone: answering(MaintenanceService.forgetClone),
} as const;
