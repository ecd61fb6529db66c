import { BinlogBackupReader } from '@coxswain/agents';
import { originOf, S3Store } from '@coxswain/archive';
import { counted } from './counted.js';
import { usageError } from './exit.js';
import { loadNodeConfig } from './node-config.js';

/**
 * The place of backups of FlushAndBackupBinlog, and the way to reach the bucket, with the same options as the nodes'
 * archive.
 */
export interface BinlogBackupFlags {
  /** The backups as `s3://bucket/ID`, in the order in which they were made. */
  readonly fromBinlogBackup?: readonly string[];
  readonly s3Endpoint?: string;
  readonly s3Region?: string;
}

/** Opens the backups for `work`, and closes their bucket afterwards. */
export async function withBinlogBackups<T>(
  { fromBinlogBackup = [], s3Endpoint, s3Region }: BinlogBackupFlags,
  work: (backups: BinlogBackupReader) => Promise<T>,
): Promise<T> {
  const places = fromBinlogBackup.map(placeOf);
  const { bucket } = places[0]!;
  if (places.some((place) => place.bucket !== bucket)) {
    throw usageError('--from-binlog-backup: the backups must be in one bucket');
  }
  const nodeFlags = {
    ...(s3Endpoint !== undefined && { 'archive.s3-endpoint': s3Endpoint }),
    ...(s3Region !== undefined && { 'archive.s3-region': s3Region }),
  };
  const { config } = loadNodeConfig('leader', nodeFlags, '', process.env);
  const endpoint = originOf(config['archive.s3-endpoint']);
  if (endpoint === undefined) {
    throw usageError('--s3-endpoint: must be http://host:port or https://host:port');
  }
  const store = new S3Store({
    endpoint,
    region: config['archive.s3-region'],
    bucket,
    prefix: '',
    accessKeyId: config['archive.s3-access-key-id'],
    secretAccessKey: config['archive.s3-secret-access-key'],
    takesAnyKey: true,
  });
  try {
    const ids = places.map(({ id }) => id);
    return await work(await BinlogBackupReader.open(store, ids, showProgress));
  } finally {
    await store.close();
  }
}

/**
 * Parses `s3://bucket/ID`. The id is taken literally: in a URL some of its characters would mean something else. Throws
 * a usage error.
 */
function placeOf(text: string): { readonly bucket: string; readonly id: string } {
  const [, bucket, id] = /^s3:\/\/([A-Za-z0-9][A-Za-z0-9._-]{1,62})\/(.+)$/s.exec(text) ?? [];
  if (bucket === undefined || id === undefined) {
    throw usageError(`--from-binlog-backup: must be s3://bucket/ID, not ${text}`);
  }
  return { bucket, id };
}

/** Shows on stderr how many objects were found, as one line that is written again and again; on a terminal only. */
function showProgress(done: number, ofAll: number): void {
  if (!process.stderr.isTTY) return;
  process.stderr.write(`\r${done} of ${counted(ofAll, 'object')} found${done === ofAll ? '\n' : ''}`);
}
