/** The kind of an error of an archive, for code that decides by it. Texts may change, codes may not. */
export type ArchiveErrorCode =
  | 'targetInvalid'
  | 'credentialsMissing'
  | 'accessDenied'
  | 'clockWrong'
  | 'bucketMissing'
  | 'regionWrong'
  | 'objectMissing'
  | 'objectTooLarge'
  | 'storeUnreachable'
  | 'certificateRefused'
  | 'storeFailed'
  | 'storeFull'
  | 'timedOut'
  | 'aborted'
  | 'objectDamaged'
  | 'tooManyObjects'
  | 'nothingArchived'
  | 'ambiguous'
  | 'notReachable';

/** An error that an operator is meant to see: its text says what to do, and contains no secret, key or value. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';

  constructor(
    readonly code: ArchiveErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The errors of the archive, each declared once. `store` is the store's URL, which contains no secret. */
export const archiveErrors = {
  targetInvalid: (target: string) =>
    new ArchiveError(
      'targetInvalid',
      `archive.target must be file:///directory or s3://bucket or s3://bucket/prefix, not "${target}"`,
    ),
  endpointInvalid: (endpoint: string) =>
    new ArchiveError(
      'targetInvalid',
      `archive.s3-endpoint must be http://host:port or https://host:port, not "${endpoint}"`,
    ),
  credentialsMissing: (store: string) =>
    new ArchiveError(
      'credentialsMissing',
      `${store}: set archive.s3-access-key-id and archive.s3-secret-access-key (or COXSWAIN_ARCHIVE_S3_ACCESS_KEY_ID and COXSWAIN_ARCHIVE_S3_SECRET_ACCESS_KEY)`,
    ),
  accessDenied: (store: string, reason: string, options?: ErrorOptions) =>
    new ArchiveError(
      'accessDenied',
      `${store}: the access keys are refused (${reason}): correct archive.s3-access-key-id and archive.s3-secret-access-key, or what they are allowed to do`,
      options,
    ),
  directoryDenied: (store: string, options?: ErrorOptions) =>
    new ArchiveError(
      'accessDenied',
      `${store}: no permission: let this user read and write the directory`,
      options,
    ),
  clockWrong: (store: string, options?: ErrorOptions) =>
    new ArchiveError(
      'clockWrong',
      `${store}: the clock of this machine differs too much from the server's: correct it`,
      options,
    ),
  bucketMissing: (store: string, bucket: string, options?: ErrorOptions) =>
    new ArchiveError(
      'bucketMissing',
      `${store}: there is no bucket "${bucket}": create it, or correct archive.target`,
      options,
    ),
  regionWrong: (store: string, region: string | undefined, options?: ErrorOptions) =>
    new ArchiveError(
      'regionWrong',
      `${store}: the bucket is in ${region === undefined ? 'another region' : `region ${region}`}: correct archive.s3-region or archive.s3-endpoint`,
      options,
    ),
  objectMissing: (store: string, name: string, options?: ErrorOptions) =>
    new ArchiveError('objectMissing', `${store}: there is no object ${name}`, options),
  objectTooLarge: (store: string, name: string, maxBytes: number) =>
    new ArchiveError(
      'objectTooLarge',
      `${store}: object ${name} is larger than ${maxBytes} bytes, the most that can be stored as one`,
    ),
  storeUnreachable: (store: string, reason: string, options?: ErrorOptions) =>
    new ArchiveError(
      'storeUnreachable',
      `${store}: the endpoint cannot be reached (${reason}): correct archive.s3-endpoint, or see to it that it runs`,
      options,
    ),
  certificateRefused: (store: string, endpoint: string, code: string, options?: ErrorOptions) =>
    new ArchiveError(
      'certificateRefused',
      `${store}: the certificate of ${endpoint} is not believed (${code}): have it issued for that name, and give its authority in NODE_EXTRA_CA_CERTS`,
      options,
    ),
  storeFailed: (store: string, doing: string, reason: string, options?: ErrorOptions) =>
    new ArchiveError('storeFailed', `${store}: ${doing} failed: ${reason}`, options),
  storeFull: (store: string, options?: ErrorOptions) =>
    new ArchiveError(
      'storeFull',
      `${store}: there is no room left: free some, or prune the archive`,
      options,
    ),
  timedOut: (store: string, doing: string, options?: ErrorOptions) =>
    new ArchiveError('timedOut', `${store}: ${doing} took too long: the store is slow or away`, options),
  aborted: (store: string, doing: string, options?: ErrorOptions) =>
    new ArchiveError('aborted', `${store}: ${doing} was given up`, options),
  truncated: (store: string, name: string, gotBytes: number, ofBytes: number) =>
    new ArchiveError(
      'objectDamaged',
      `${store}: object ${name} is truncated: it ended after ${gotBytes} of ${ofBytes} bytes`,
    ),
  objectDamaged: (name: string, detail: string, options?: ErrorOptions) =>
    new ArchiveError('objectDamaged', `object ${name} is damaged: ${detail}`, options),
  tooManyObjects: (shard: string, max: number) =>
    new ArchiveError(
      'tooManyObjects',
      `${shard} has more than ${max} objects, which is more than can be handled: prune the archive from time to time, or raise archive.object-size and archive.object-age`,
    ),
  nothingArchived: (store: string, table: string) =>
    new ArchiveError(
      'nothingArchived',
      `${store}: nothing is archived of a table "${table}": see coxswain archive list`,
    ),
  ambiguous: (store: string, table: string, clusterIds: readonly string[]) =>
    new ArchiveError(
      'ambiguous',
      `${store}: several clusters archived a table "${table}": name one of ${[...clusterIds].sort().join(', ')}`,
    ),
  backupMissing: (store: string, id: string) =>
    new ArchiveError(
      'objectMissing',
      `${store}: there is no backup "${id}", or it was not finished: its list is stored last, under its id`,
    ),
  backupIncomplete: (table: string, reason: string) =>
    new ArchiveError('notReachable', `table "${table}" cannot be restored from these backups: ${reason}`),
  notReachable: (what: string, limit: string, reason: string) =>
    new ArchiveError('notReachable', `${what} cannot be restored to ${limit}: ${reason}`),
} as const;
