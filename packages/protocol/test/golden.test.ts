import { describe, expect, test } from '@jest/globals';
import type protobuf from 'protobufjs';
import { events, health, maintenance, moco, mvcc, regatta, replication, wolfRaft } from '../src/index.js';
import { type Codec, codecs, loadSchema } from './schema.js';

const { Command_CommandType: CommandType } = mvcc;
const { Compare_CompareResult: CompareResult, Compare_CompareTarget: CompareTarget } = mvcc;

const text = (value: string): Buffer => Buffer.from(value);
const [a, b, k, l, t, v] = ['a', 'b', 'k', 'l', 't', 'v'].map(text) as [
  Buffer,
  Buffer,
  Buffer,
  Buffer,
  Buffer,
  Buffer,
];
const zero = Buffer.of(0);
const empty = Buffer.of();

interface Golden {
  readonly what: string;
  readonly codec: Codec<unknown>;
  readonly message: unknown;
  readonly bytes: Buffer;
}

function golden<T, P>(
  what: string,
  codec: Codec<T> & { create(base?: P): T },
  partial: P,
  hex: string,
): Golden {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  return { what, codec: codec as Codec<unknown>, message: codec.create(partial), bytes };
}

// The bytes were written down by hand from the field numbers, never taken from an encoder. In a tag, the
// low three bits are the wire type; tags from a0 06 on are the fields from 100 up.
const goldens: readonly Golden[] = [
  golden('HealthCheckRequest', health.HealthCheckRequest, { service: 'k' }, '0a 01 6b'),
  golden(
    'HealthCheckResponse',
    health.HealthCheckResponse,
    { status: health.HealthCheckResponse_ServingStatus.NOT_SERVING },
    '08 02',
  ),
  golden('HealthListRequest', health.HealthListRequest, {}, ''),
  golden(
    'HealthListResponse',
    health.HealthListResponse,
    {
      statuses: new Map([
        ['k', { status: health.HealthCheckResponse_ServingStatus.SERVING }],
        ['', { status: health.HealthCheckResponse_ServingStatus.UNKNOWN }],
      ]),
    },
    '0a 07 0a 01 6b 12 02 08 01 0a 02 12 00',
  ),

  golden(
    'CloneRequest',
    moco.CloneRequest,
    { external: true, donorHost: 'h', donorPort: 3307 },
    '08 01 12 01 68 18 eb 19',
  ),
  golden(
    'CloneRequest with a negative port',
    moco.CloneRequest,
    { donorPort: -1 },
    '18 ff ff ff ff ff ff ff ff ff 01',
  ),
  golden('CloneResponse', moco.CloneResponse, {}, ''),
  golden(
    'FlushAndBackupBinlogRequest',
    moco.FlushAndBackupBinlogRequest,
    {
      backupId: 'i',
      bucketHost: 'h',
      bucketPort: 9000,
      bucketName: 'b',
      bucketRegion: 'r',
      accessKeyId: 'k',
      secretAccessKey: 's',
    },
    '0a 01 69 12 01 68 18 a8 46 22 01 62 2a 01 72 32 01 6b 3a 01 73',
  ),
  golden('FlushAndBackupBinlogResponse', moco.FlushAndBackupBinlogResponse, {}, ''),
  golden('FlushBinlogRequest', moco.FlushBinlogRequest, { delete: true }, '08 01'),
  golden('FlushBinlogResponse', moco.FlushBinlogResponse, {}, ''),
  golden('BackupRequest', maintenance.BackupRequest, { table: t }, '0a 01 74'),
  golden(
    'BackupRequest that goes on',
    maintenance.BackupRequest,
    { revision: 7n, afterKey: k, shardId: 10_001n, recordBytes: 300n },
    'a0 06 07 aa 06 01 6b b0 06 91 4e b8 06 ac 02',
  ),
  golden('RestoreInfo with a size', maintenance.RestoreInfo, { sizeBytes: 300n }, 'a8 06 ac 02'),
  golden('RestoreInfo', maintenance.RestoreInfo, { table: t, baseRevision: 300n }, '0a 01 74 a0 06 ac 02'),
  golden(
    'RestoreMessage with info',
    maintenance.RestoreMessage,
    { data: { $case: 'info', value: { table: t, baseRevision: 300n } } },
    '0a 07 0a 01 74 a0 06 ac 02',
  ),
  golden(
    'RestoreMessage with a chunk',
    maintenance.RestoreMessage,
    { data: { $case: 'chunk', value: { data: text('ab'), len: 2n, index: 9n } } },
    '12 08 0a 02 61 62 10 02 18 09',
  ),
  golden(
    'RestoreMessage with an empty chunk',
    maintenance.RestoreMessage,
    { data: { $case: 'chunk', value: {} } },
    '12 00',
  ),
  golden('RestoreMessage with nothing', maintenance.RestoreMessage, {}, ''),
  golden('RestoreResponse', maintenance.RestoreResponse, {}, ''),
  golden(
    'RestoreResponse with what is ours',
    maintenance.RestoreResponse,
    { shardId: 10_001n, revision: 7n, keyCount: 300n },
    'a0 06 91 4e a8 06 07 b0 06 ac 02',
  ),
  golden(
    'RestoreArchiveRequest up to a revision',
    maintenance.RestoreArchiveRequest,
    {
      table: t,
      into: k,
      limit: { $case: 'toRevision', value: 0n },
      clusterId: 'c',
      shardId: 3n,
      dryRun: true,
    },
    '0a 01 74 12 01 6b 18 00 2a 01 63 30 03 38 01',
  ),
  golden(
    'RestoreArchiveRequest up to a moment',
    maintenance.RestoreArchiveRequest,
    { limit: { $case: 'toTimeMs', value: 300n } },
    '20 ac 02',
  ),
  golden(
    'RestoreArchiveProgress',
    maintenance.RestoreArchiveProgress,
    {
      bytes: 1n,
      bytesTotal: 2n,
      done: { revision: 1n, timeMs: 2n, fromShardId: 3n, shardId: 4n, keyCount: 5n },
    },
    '08 01 10 02 1a 0a 08 01 10 02 18 03 20 04 28 05',
  ),
  golden(
    'RestoredPoint',
    maintenance.RestoredPoint,
    {
      revision: 1n,
      timeMs: 300n,
      fromShardId: 3n,
      shardId: 4n,
      keyCount: 5n,
      leftOutRevision: 6n,
      leftOutTimeMs: 7n,
    },
    '08 01 10 ac 02 18 03 20 04 28 05 30 06 38 07',
  ),
  golden('Position', events.Position, { startedAtMs: 300n, sequence: 1n }, '08 ac 02 10 01'),
  golden(
    'WatchRequest after',
    events.WatchRequest,
    {
      since: { $case: 'after', value: { startedAtMs: 1n, sequence: 2n } },
      follow: true,
      minimumSeverity: events.Severity.SEVERITY_WARN,
    },
    '0a 04 08 01 10 02 18 01 20 02',
  ),
  golden('WatchRequest timeMs', events.WatchRequest, { since: { $case: 'timeMs', value: 300n } }, '10 ac 02'),
  golden(
    'Event',
    events.Event,
    {
      position: { startedAtMs: 1n, sequence: 2n },
      timeMs: 3n,
      nodeId: 4n,
      severity: events.Severity.SEVERITY_ERROR,
      code: 'k',
      text: 't',
      advice: 'a',
      fields: { k: true },
      missed: 5n,
    },
    '0a 04 08 01 10 02 10 03 18 04 20 03 2a 01 6b 32 01 74 3a 01 61 42 09 0a 07 0a 01 6b 12 02 20 01 48 05',
  ),
  golden('ForgetCloneRequest', maintenance.ForgetCloneRequest, {}, ''),
  golden(
    'ForgetCloneResponse',
    maintenance.ForgetCloneResponse,
    { donor: 'd', error: 'e' },
    '0a 01 64 12 01 65',
  ),
  golden('ResetRequest', maintenance.ResetRequest, { table: t, resetAll: true }, '0a 01 74 10 01'),
  golden('ResetResponse', maintenance.ResetResponse, {}, ''),
  golden('PromoteRequest', maintenance.PromoteRequest, {}, ''),
  golden('PromoteResponse', maintenance.PromoteResponse, {}, ''),

  golden(
    'KeyValue',
    mvcc.KeyValue,
    { key: k, createRevision: 1n, modRevision: 150n, value: v, version: 2n },
    '0a 01 6b 10 01 18 96 01 22 01 76 a0 06 02',
  ),
  golden(
    'KeyValue with -1 and the greatest int64',
    mvcc.KeyValue,
    { createRevision: -1n, modRevision: 2n ** 63n - 1n },
    '10 ff ff ff ff ff ff ff ff ff 01 18 ff ff ff ff ff ff ff ff 7f',
  ),
  golden(
    'KeyValue with the least int64',
    mvcc.KeyValue,
    { version: -(2n ** 63n) },
    'a0 06 80 80 80 80 80 80 80 80 80 01',
  ),
  golden(
    'KeyValue with a value of 300 bytes',
    mvcc.KeyValue,
    { value: Buffer.alloc(300, 0x78) },
    `22 ac 02 ${'78'.repeat(300)}`,
  ),
  golden(
    'Command PUT',
    mvcc.Command,
    { table: t, kv: { key: k, value: v } },
    '0a 01 74 1a 06 0a 01 6b 22 01 76',
  ),
  golden(
    'Command DELETE',
    mvcc.Command,
    {
      table: t,
      type: CommandType.DELETE,
      kv: { key: k },
      leaderIndex: 7n,
      rangeEnd: zero,
      prevKvs: true,
      count: true,
    },
    '0a 01 74 10 01 1a 03 0a 01 6b 28 07 42 01 00 48 01 58 01',
  ),
  golden(
    'Command DUMMY with a leader_index of 0, which is present',
    mvcc.Command,
    { type: CommandType.DUMMY, leaderIndex: 0n },
    '10 02 28 00',
  ),
  golden(
    'Command PUT_BATCH',
    mvcc.Command,
    { type: CommandType.PUT_BATCH, batch: [{ key: k, value: v }, { key: l }] },
    '10 03 32 06 0a 01 6b 22 01 76 32 03 0a 01 6c',
  ),
  golden(
    'Command DELETE_BATCH with an empty range_end, which is present',
    mvcc.Command,
    { type: CommandType.DELETE_BATCH, batch: [{ key: k }], rangeEnd: empty },
    '10 04 32 03 0a 01 6b 42 00',
  ),
  golden('Command TXN with an empty txn', mvcc.Command, { type: CommandType.TXN, txn: {} }, '10 05 3a 00'),
  golden(
    'Command SEQUENCE with the greatest leader_index',
    mvcc.Command,
    {
      type: CommandType.SEQUENCE,
      leaderIndex: 2n ** 64n - 1n,
      sequence: [{ type: CommandType.DUMMY, leaderIndex: 300n }],
    },
    '10 06 28 ff ff ff ff ff ff ff ff ff 01 52 05 10 02 28 ac 02',
  ),
  golden(
    'CommandResult',
    mvcc.CommandResult,
    { responses: [{ response: { $case: 'responsePut', value: {} } }], revision: 300n },
    '0a 02 12 00 10 ac 02',
  ),
  golden(
    'Txn',
    mvcc.Txn,
    {
      compare: [{ key: a }],
      success: [{ request: { $case: 'requestPut', value: { key: k } } }],
      failure: [{}],
    },
    '0a 03 1a 01 61 12 05 12 03 0a 01 6b 1a 00',
  ),
  golden(
    'RequestOp with a range',
    mvcc.RequestOp,
    {
      request: {
        $case: 'requestRange',
        value: { key: a, rangeEnd: b, limit: 5n, keysOnly: true, countOnly: true },
      },
    },
    '0a 0c 0a 01 61 12 01 62 18 05 20 01 28 01',
  ),
  golden(
    'RequestOp with a put',
    mvcc.RequestOp,
    { request: { $case: 'requestPut', value: { key: k, value: v, prevKv: true } } },
    '12 08 0a 01 6b 12 01 76 18 01',
  ),
  golden(
    'RequestOp with a delete, prev_kv in both of its places',
    mvcc.RequestOp,
    { request: { $case: 'requestDeleteRange', value: { key: a, rangeEnd: b, prevKv: true, count: true } } },
    '1a 0c 0a 01 61 12 01 62 18 01 20 01 28 01',
  ),
  golden('RequestOp.Range', mvcc.RequestOp_Range, { limit: -1n }, '18 ff ff ff ff ff ff ff ff ff 01'),
  golden('RequestOp.Put', mvcc.RequestOp_Put, { value: v }, '12 01 76'),
  golden('RequestOp.DeleteRange', mvcc.RequestOp_DeleteRange, { key: a }, '0a 01 61'),
  golden(
    'ResponseOp with a range',
    mvcc.ResponseOp,
    { response: { $case: 'responseRange', value: { kvs: [{ key: k, value: v }], more: true, count: 1n } } },
    '0a 0c 0a 06 0a 01 6b 22 01 76 10 01 18 01',
  ),
  golden(
    'ResponseOp with a put',
    mvcc.ResponseOp,
    { response: { $case: 'responsePut', value: { prevKv: { key: k } } } },
    '12 05 0a 03 0a 01 6b',
  ),
  golden(
    'ResponseOp with a delete',
    mvcc.ResponseOp,
    { response: { $case: 'responseDeleteRange', value: { deleted: 2n, prevKvs: [{ key: k }], more: true } } },
    '1a 0a 08 02 12 03 0a 01 6b a0 06 01',
  ),
  golden('ResponseOp.Range', mvcc.ResponseOp_Range, { kvs: [{}, {}] }, '0a 00 0a 00'),
  golden('ResponseOp.Put', mvcc.ResponseOp_Put, { prevKv: {} }, '0a 00'),
  golden('ResponseOp.Put', mvcc.ResponseOp_Put, { more: true }, 'a0 06 01'),
  golden('ResponseOp.DeleteRange', mvcc.ResponseOp_DeleteRange, { deleted: 128n }, '08 80 01'),
  golden(
    'Compare with a value and a range',
    mvcc.Compare,
    { result: CompareResult.GREATER, key: k, targetUnion: { $case: 'value', value: v }, rangeEnd: zero },
    '08 01 1a 01 6b 22 01 76 82 04 01 00',
  ),
  golden(
    'Compare with an empty value, which is no existence test',
    mvcc.Compare,
    { key: k, targetUnion: { $case: 'value', value: empty } },
    '1a 01 6b 22 00',
  ),
  golden('Compare without a value, an existence test', mvcc.Compare, { key: k }, '1a 01 6b'),
  golden(
    'Compare of the create revision',
    mvcc.Compare,
    { target: CompareTarget.CREATE, key: k, targetUnion: { $case: 'createRevision', value: 5n } },
    '10 02 1a 01 6b 28 05',
  ),
  golden(
    'Compare of the modification revision with 0, which is present',
    mvcc.Compare,
    {
      result: CompareResult.LESS,
      target: CompareTarget.MOD,
      key: k,
      targetUnion: { $case: 'modRevision', value: 0n },
    },
    '08 02 10 03 1a 01 6b 30 00',
  ),
  golden(
    'Compare of the version',
    mvcc.Compare,
    {
      result: CompareResult.NOT_EQUAL,
      target: CompareTarget.VERSION,
      key: k,
      targetUnion: { $case: 'version', value: -1n },
    },
    '08 03 10 01 1a 01 6b 38 ff ff ff ff ff ff ff ff ff 01',
  ),

  golden(
    'ResponseHeader',
    regatta.ResponseHeader,
    { shardId: 10_001n, replicaId: 2n, revision: 300n, raftTerm: 4n, raftLeaderId: 5n },
    '08 91 4e 10 02 18 ac 02 20 04 28 05',
  ),
  golden(
    'RangeRequest',
    regatta.RangeRequest,
    {
      table: t,
      key: a,
      rangeEnd: b,
      limit: 5n,
      linearizable: true,
      keysOnly: true,
      countOnly: true,
      minModRevision: 6n,
      maxModRevision: 7n,
      minCreateRevision: 8n,
      maxCreateRevision: 9n,
      revision: 10n,
    },
    '0a 01 74 12 01 61 1a 01 62 20 05 28 01 30 01 38 01 40 06 48 07 50 08 58 09 a0 06 0a',
  ),
  golden(
    'RangeResponse',
    regatta.RangeResponse,
    { header: { replicaId: 2n }, kvs: [{ key: k, value: v }], more: true, count: 1n },
    '0a 02 10 02 1a 06 0a 01 6b 22 01 76 20 01 28 01',
  ),
  golden(
    'PutRequest',
    regatta.PutRequest,
    { table: t, key: k, value: v, prevKv: true },
    '0a 01 74 12 01 6b 1a 01 76 20 01',
  ),
  golden(
    'PutResponse',
    regatta.PutResponse,
    { header: { revision: 7n }, prevKv: { key: k } },
    '0a 02 18 07 12 03 0a 01 6b',
  ),
  golden(
    'DeleteRangeRequest',
    regatta.DeleteRangeRequest,
    { table: t, key: a, rangeEnd: b, prevKv: true, count: true },
    '0a 01 74 12 01 61 1a 01 62 20 01 28 01',
  ),
  golden(
    'DeleteRangeResponse',
    regatta.DeleteRangeResponse,
    { header: {}, deleted: 2n, prevKvs: [{ key: k }], more: true },
    '0a 00 10 02 1a 03 0a 01 6b a0 06 01',
  ),
  golden(
    'TxnRequest',
    regatta.TxnRequest,
    {
      table: t,
      compare: [{ key: a }],
      success: [{ request: { $case: 'requestPut', value: { key: k } } }],
      failure: [{ request: { $case: 'requestPut', value: {} } }],
    },
    '0a 01 74 12 03 1a 01 61 1a 05 12 03 0a 01 6b 22 02 12 00',
  ),
  golden(
    'TxnResponse',
    regatta.TxnResponse,
    { header: {}, succeeded: true, responses: [{ response: { $case: 'responsePut', value: {} } }] },
    '0a 00 10 01 1a 02 12 00',
  ),
  golden('MemberListRequest', regatta.MemberListRequest, {}, ''),
  golden(
    'MemberListResponse',
    regatta.MemberListResponse,
    { cluster: 'c', members: [{ id: '1', name: 'n', peerURLs: ['p', 'q'], clientURLs: ['u'] }] },
    '0a 01 63 12 0f 0a 01 31 12 01 6e 1a 01 70 1a 01 71 22 01 75',
  ),
  golden('Member', regatta.Member, { name: 'é' }, '12 02 c3 a9'),
  golden('StatusRequest', regatta.StatusRequest, { config: true }, '20 01'),
  golden(
    'StatusResponse',
    regatta.StatusResponse,
    {
      id: '1',
      version: '2',
      info: 'i',
      tables: new Map([
        [
          't',
          regatta.TableStatus.fromPartial({
            logSize: 1n,
            dbSize: 2n,
            leader: '3',
            raftIndex: 4n,
            raftTerm: 5n,
            raftAppliedIndex: 6n,
          }),
        ],
      ]),
      config: { k: true },
      errors: ['e'],
    },
    '0a 01 31 12 01 32 1a 01 69' +
      '22 12 0a 01 74 12 0d 10 01 18 02 22 01 33 28 04 30 05 38 06' +
      '2a 09 0a 07 0a 01 6b 12 02 20 01' +
      '42 01 65',
  ),
  golden(
    'StatusResponse of a table called __proto__',
    regatta.StatusResponse,
    { tables: new Map([['__proto__', regatta.TableStatus.create()]]) },
    '22 0d 0a 09 5f 5f 70 72 6f 74 6f 5f 5f 12 00',
  ),
  golden('TableStatus', regatta.TableStatus, { dbSize: 2n ** 32n }, '18 80 80 80 80 10'),
  golden(
    'TableStatus with what is ours',
    regatta.TableStatus,
    {
      shardId: 10_001n,
      revision: 7n,
      contentHash: 'ab',
      replication: { state: 's', leaderIndex: 1n, lagEntries: 2n, lagMs: 3n, error: 'e' },
    },
    'a0 06 91 4e a8 06 07 b2 06 02 61 62 ba 06 0c 0a 01 73 10 01 18 02 20 03 2a 01 65',
  ),
  golden(
    'TableStatus with an archive',
    regatta.TableStatus,
    {
      archive: {
        state: 's',
        archivedIndex: 1n,
        archivedTimeMs: 2n,
        backlogBytes: 3n,
        gapCount: 4n,
        error: 'e',
      },
    },
    'c2 06 0e 0a 01 73 10 01 18 02 20 03 28 04 32 01 65',
  ),
  golden(
    'TableStatus without a leader',
    regatta.TableStatus,
    { leaderless: 'noLeader' },
    'd2 06 08 6e 6f 4c 65 61 64 65 72',
  ),
  golden('TableStatus with errors', regatta.TableStatus, { errors: ['e', 'f'] }, 'ca 06 01 65 ca 06 01 66'),
  golden('TableArchive', regatta.TableArchive, { archivedIndex: 150n }, '10 96 01'),
  golden(
    'TableArchive with all of it',
    regatta.TableArchive,
    { state: 's', archivedIndex: 1n, archivedTimeMs: 2n, backlogBytes: 3n, gapCount: 4n, error: 'e' },
    '0a 01 73 10 01 18 02 20 03 28 04 32 01 65',
  ),
  golden(
    'TableReplication',
    regatta.TableReplication,
    { state: 'stopped', leaderIndex: 150n, replicatedBy: 2n },
    '0a 07 73 74 6f 70 70 65 64 10 96 01 30 02',
  ),
  golden('MetricsRequest', regatta.MetricsRequest, { format: 'f' }, '0a 01 66'),
  golden(
    'MetricsResponse',
    regatta.MetricsResponse,
    { metricsData: 'm', timestamp: 300n },
    '0a 01 6d 10 ac 02',
  ),
  golden(
    'StatusResponse with what is ours',
    regatta.StatusResponse,
    {
      role: 'r',
      clusterId: 'c',
      leaderAddress: 'a',
      leaderClusterId: 'l',
      followers: [{ table: 't', follower: 'f', leaderIndex: 1n, lagEntries: 2n, lastSeenMs: 3n }],
    },
    'a2 06 01 72 aa 06 01 63 b2 06 01 61 ba 06 01 6c c2 06 0c 0a 01 74 12 01 66 18 01 20 02 28 03',
  ),
  golden('FollowerStatus', regatta.FollowerStatus, { table: 't', lastSeenMs: 150n }, '0a 01 74 28 96 01'),
  golden(
    'RangeRequest for the leader cluster',
    regatta.RangeRequest,
    { fromLeaderCluster: true },
    'a8 06 01',
  ),
  golden('CreateTableRequest', regatta.CreateTableRequest, { name: 't', config: {} }, '0a 01 74 2a 00'),
  golden(
    'CreateTableRequest with every kind of value',
    regatta.CreateTableRequest,
    { config: { a: 1.5, b: 'x', c: [false, null], d: {} } },
    '2a 34' +
      '0a 0e 0a 01 61 12 09 11 00 00 00 00 00 00 f8 3f' +
      '0a 08 0a 01 62 12 03 1a 01 78' +
      '0a 0f 0a 01 63 12 0a 32 08 0a 02 20 00 0a 02 08 00' +
      '0a 07 0a 01 64 12 02 2a 00',
  ),
  golden('CreateTableResponse', regatta.CreateTableResponse, { id: '10001' }, '0a 05 31 30 30 30 31'),
  golden('DeleteTableRequest', regatta.DeleteTableRequest, { name: 't' }, '0a 01 74'),
  golden('DeleteTableResponse', regatta.DeleteTableResponse, {}, ''),
  golden('ListTablesRequest', regatta.ListTablesRequest, {}, ''),
  golden(
    'ListTablesResponse',
    regatta.ListTablesResponse,
    { tables: [{ name: 't', id: '1', config: { n: null } }] },
    '0a 11 0a 01 74 12 01 31 2a 09 0a 07 0a 01 6e 12 02 08 00',
  ),
  golden('TableInfo', regatta.TableInfo, { id: '1' }, '12 01 31'),

  golden('MetadataRequest', replication.MetadataRequest, {}, ''),
  golden(
    'MetadataRequest of a node of a follower cluster',
    replication.MetadataRequest,
    { follower: { name: 'n' } },
    'a2 06 03 12 01 6e',
  ),
  golden(
    'FollowerNode',
    replication.FollowerNode,
    { clusterId: 'c', name: 'n', address: 'a', state: 's' },
    '0a 01 63 12 01 6e 1a 01 61 22 01 73',
  ),
  golden(
    'MetadataResponse with the names of nodes',
    replication.MetadataResponse,
    { nodes: ['n'] },
    'aa 06 01 6e',
  ),
  golden(
    'ReplicateRequest with what is applied',
    replication.ReplicateRequest,
    { appliedIndex: 7n },
    'd0 06 07',
  ),
  golden('Command with a time', mvcc.Command, { timeMs: 300n }, 'a0 06 ac 02'),
  golden(
    'MetadataResponse',
    replication.MetadataResponse,
    { tables: [{ name: 't', type: replication.Table_Type.LOCAL, shardId: 10_001n }], clusterId: 'c' },
    '0a 09 0a 01 74 10 01 a0 06 91 4e a2 06 01 63',
  ),
  golden('Table', replication.Table, { name: 't' }, '0a 01 74'),
  golden('SnapshotRequest', replication.SnapshotRequest, { table: t }, '0a 01 74'),
  golden(
    'SnapshotRequest from ours',
    replication.SnapshotRequest,
    { table: t, clusterId: 'c' },
    '0a 01 74 aa 06 01 63',
  ),
  golden(
    'SnapshotRequest of an incremental one',
    replication.SnapshotRequest,
    { table: t, incremental: true, leaderIndex: 300n },
    '0a 01 74 10 01 18 ac 02',
  ),
  golden(
    'SnapshotQueryRequest',
    replication.SnapshotQueryRequest,
    { table: 't', followerIndex: 7n },
    '0a 01 74 10 07',
  ),
  golden(
    'SnapshotQueryResponse',
    replication.SnapshotQueryResponse,
    {
      type: replication.SnapshotQueryResponse_SnapshotType.INCREMENTAL,
      baseIndex: 1n,
      tipIndex: 2n,
      objectKey: 'o',
      sha256: text('s'),
      sizeBytes: 300n,
    },
    '08 02 10 01 18 02 22 01 6f 2a 01 73 30 ac 02',
  ),
  golden(
    'SnapshotChunk',
    replication.SnapshotChunk,
    { data: text('ab'), len: 2n, index: 9n },
    '0a 02 61 62 10 02 18 09',
  ),
  golden(
    'SnapshotChunk with what is ours',
    replication.SnapshotChunk,
    {
      lastKey: k,
      point: { clusterId: 'c', shardId: 1n, revision: 2n, timeMs: 3n, keyCount: 4n, sizeBytes: 5n },
      recordBytes: 300n,
      keyCount: 7n,
    },
    'a2 06 01 6b aa 06 0d 0a 01 63 10 01 18 02 20 03 28 04 30 05 b0 06 ac 02 b8 06 07',
  ),
  golden('BackupPoint', replication.BackupPoint, { revision: 300n, timeMs: 1n }, '18 ac 02 20 01'),
  golden(
    'ReplicateRequest',
    replication.ReplicateRequest,
    { table: t, leaderIndex: 7n, waitMs: 1000, clusterId: 'c', shardId: 10_001n, capabilities: 3n },
    '0a 01 74 10 07 a0 06 e8 07 aa 06 01 63 b0 06 91 4e b8 06 03',
  ),
  golden(
    'ReplicateRequest with who asks',
    replication.ReplicateRequest,
    { follower: 'f', followerClusterId: 'c' },
    'c2 06 01 66 ca 06 01 63',
  ),
  golden('ReplicateRequest that comes once', replication.ReplicateRequest, { once: true }, 'd8 06 01'),
  golden(
    'ReplicateRequest with the greatest uint32',
    replication.ReplicateRequest,
    { waitMs: 0xffffffff },
    'a0 06 ff ff ff ff 0f',
  ),
  golden(
    'ReplicateResponse with commands',
    replication.ReplicateResponse,
    {
      response: {
        $case: 'commandsResponse',
        value: {
          commands: [{ leaderIndex: 7n, command: { type: CommandType.DUMMY, leaderIndex: 7n }, timeMs: 1n }],
        },
      },
      leaderIndex: 9n,
    },
    '0a 0d 0a 0b 08 07 12 04 10 02 28 07 a0 06 01 40 09',
  ),
  golden(
    'ReplicateResponse with an error',
    replication.ReplicateResponse,
    { response: { $case: 'errorResponse', value: { error: replication.ReplicateError.LEADER_BEHIND } } },
    '12 02 08 01',
  ),
  golden(
    'ReplicateResponse that ends the stream',
    replication.ReplicateResponse,
    { leaderIndex: 9n, leaderTimeMs: 1n },
    '40 09 a0 06 01',
  ),
  golden('ReplicateCommandsResponse', replication.ReplicateCommandsResponse, { commands: [{}] }, '0a 00'),
  golden('ReplicateCommand', replication.ReplicateCommand, { command: {} }, '12 00'),
  golden('ReplicateCommand with a trace', replication.ReplicateCommand, { traceparent: 't' }, 'aa 06 01 74'),
  golden('ReplicateErrResponse USE_SNAPSHOT', replication.ReplicateErrResponse, {}, ''),

  golden(
    'RaftErrorRes',
    wolfRaft.RaftErrorRes,
    { msgId: 'm', code: wolfRaft.ErrorCode.RAFT_APPEND_ENTRIES_FAILED, msg: 'x' },
    '0a 01 6d 10 03 1a 01 78',
  ),
  golden('RaftBootstrapReq', wolfRaft.RaftBootstrapReq, { msgId: 'm', numberOfNodes: 3n }, '0a 01 6d 18 03'),
  golden('RaftBootstrapOkRes', wolfRaft.RaftBootstrapOkRes, { msgId: 'm' }, '0a 01 6d'),
  golden(
    'RaftBootstrapRes',
    wolfRaft.RaftBootstrapRes,
    { response: { $case: 'okRes', value: { msgId: 'm' } } },
    '0a 03 0a 01 6d',
  ),
  golden(
    'RaftBootstrapRes with an error',
    wolfRaft.RaftBootstrapRes,
    {
      response: { $case: 'errorRes', value: { msgId: 'm', code: wolfRaft.ErrorCode.RAFT_BOOTSTRAP_FAILED } },
    },
    '12 05 0a 01 6d 10 01',
  ),
  golden(
    'RaftAppendEntriesReq',
    wolfRaft.RaftAppendEntriesReq,
    { msgId: 'm', req: '{}' },
    '0a 01 6d 12 02 7b 7d',
  ),
  golden('ConflictOpt', wolfRaft.ConflictOpt, { term: 2n, index: 5n }, '08 02 10 05'),
  golden(
    'RaftAppendEntriesOkRes with a conflict',
    wolfRaft.RaftAppendEntriesOkRes,
    { msgId: 'm', term: 3n, conflictOpt: { term: 2n, index: 5n } },
    '0a 01 6d 10 03 22 04 08 02 10 05',
  ),
  golden('RaftAppendEntriesOkRes', wolfRaft.RaftAppendEntriesOkRes, { success: true }, '18 01'),
  golden(
    'RaftAppendEntriesRes',
    wolfRaft.RaftAppendEntriesRes,
    { response: { $case: 'okRes', value: {} } },
    '0a 00',
  ),
  golden(
    'RaftAppendEntriesRes with an error',
    wolfRaft.RaftAppendEntriesRes,
    { response: { $case: 'errorRes', value: {} } },
    '12 00',
  ),
  golden(
    'RaftInstallSnapshotReq',
    wolfRaft.RaftInstallSnapshotReq,
    {
      msgId: 'm',
      term: 1n,
      leaderId: 2n,
      lastIncludedIndex: 3n,
      lastIncludedTerm: 4n,
      offset: 5n,
      done: true,
      data: text('d'),
    },
    '0a 01 6d 10 01 18 02 20 03 28 04 30 05 38 01 42 01 64',
  ),
  golden(
    'RaftInstallSnapshotOkRes',
    wolfRaft.RaftInstallSnapshotOkRes,
    { msgId: 'm', term: 3n },
    '0a 01 6d 10 03',
  ),
  golden(
    'RaftInstallSnapshotRes',
    wolfRaft.RaftInstallSnapshotRes,
    { response: { $case: 'okRes', value: {} } },
    '0a 00',
  ),
  golden(
    'RaftInstallSnapshotRes with an error',
    wolfRaft.RaftInstallSnapshotRes,
    { response: { $case: 'errorRes', value: {} } },
    '12 00',
  ),
  golden(
    'RaftVoteReq',
    wolfRaft.RaftVoteReq,
    { msgId: 'm', term: 1n, candidateId: 2n, lastLogIndex: 3n, lastLogTerm: 4n },
    '0a 01 6d 10 01 18 02 20 03 28 04',
  ),
  golden(
    'RaftVoteOkRes',
    wolfRaft.RaftVoteOkRes,
    { msgId: 'm', term: 1n, voteGranted: true },
    '0a 01 6d 10 01 18 01',
  ),
  golden('RaftVoteRes', wolfRaft.RaftVoteRes, { response: { $case: 'okRes', value: {} } }, '0a 00'),
  golden(
    'RaftVoteRes with an error',
    wolfRaft.RaftVoteRes,
    { response: { $case: 'errorRes', value: {} } },
    '12 00',
  ),
  golden('RaftGetMetricsReq', wolfRaft.RaftGetMetricsReq, { msgId: 'm' }, '0a 01 6d'),
  golden(
    'RaftGetMetricsOkRes',
    wolfRaft.RaftGetMetricsOkRes,
    { msgId: 'm', metrics: '{}' },
    '0a 01 6d 12 02 7b 7d',
  ),
  golden(
    'RaftGetMetricsRes',
    wolfRaft.RaftGetMetricsRes,
    { response: { $case: 'okRes', value: {} } },
    '0a 00',
  ),
  golden(
    'RaftGetMetricsRes with an error',
    wolfRaft.RaftGetMetricsRes,
    { response: { $case: 'errorRes', value: {} } },
    '12 00',
  ),
];

describe('messages have exactly these bytes', () => {
  test.each(goldens.map((row) => [row.what, row] as const))('%s', (_what, { codec, message, bytes }) => {
    expect(codec.encode(message).finish().toString('hex')).toBe(bytes.toString('hex'));
    expect(codec.decode(bytes)).toEqual(message);
  });

  test('every field of every message occurs in them', () => {
    const schema = loadSchema();
    const seen = new Set<string>();
    const note = (type: protobuf.Type, message: Record<string, unknown>): void => {
      for (const field of type.fieldsArray) {
        if (!Object.hasOwn(message, field.name)) continue;
        const { resolvedType } = field.resolve();
        const value = message[field.name] as object;
        const isPresent = !(field.repeated || field.map) || Object.keys(value).length > 0;
        if (isPresent) seen.add(field.fullName);
        if (resolvedType !== null && 'fieldsArray' in resolvedType) {
          const children = field.repeated || field.map ? Object.values(value) : [value];
          for (const child of children) note(resolvedType, child);
        }
      }
    };
    for (const [name, codec] of codecs) {
      const type = schema.lookupType(name);
      for (const { bytes } of goldens.filter((row) => row.codec === codec)) {
        note(type, type.decode(bytes) as unknown as Record<string, unknown>);
      }
    }
    const fields = [...codecs.keys()].flatMap((name) =>
      schema.lookupType(name).fieldsArray.map((field) => field.fullName),
    );
    expect(fields.filter((field) => !seen.has(field))).toEqual([]);
    expect(fields.length).toBeGreaterThan(150);
  });

  test('every message of the .proto files is among the types', () => {
    const names: string[] = [];
    const collect = (parent: protobuf.NamespaceBase): void => {
      for (const child of parent.nestedArray) {
        if ('fieldsArray' in child) names.push(child.fullName.slice(1));
        if ('nestedArray' in child) collect(child as protobuf.NamespaceBase);
      }
    };
    collect(loadSchema());
    const own = names.filter((name) => !name.startsWith('google.'));
    expect([...codecs.keys()].sort()).toEqual(own.sort());
    for (const name of own) {
      expect([name, goldens.some((row) => row.codec === codecs.get(name))]).toEqual([name, true]);
    }
  });
});
