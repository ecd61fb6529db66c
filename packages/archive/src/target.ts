import { fileURLToPath } from 'node:url';
import { DirectoryStore } from './adapters/directory-store.js';
import type { S3Options } from './adapters/s3-requests.js';
import { S3Store } from './adapters/s3-store.js';
import { archiveErrors } from './errors.js';
import { isName, type ObjectStore } from './store.js';

/** The options that locate an archive, as in the configuration. */
export interface ArchiveTarget
  extends Pick<S3Options, 'accessKeyId' | 'secretAccessKey' | 'endpoint' | 'region'> {
  /** `file:///directory`, `s3://bucket` or `s3://bucket/prefix`. */
  readonly target: string;
}

const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/;

/** The store that the target names; nothing is asked of it yet. Errors: targetInvalid, credentialsMissing. */
export function openArchiveStore({ target, ...s3 }: ArchiveTarget): ObjectStore {
  if (target.startsWith('file:')) return new DirectoryStore(directoryOf(target));
  const [, bucket = '', prefix = ''] = /^s3:\/\/([^/]*)(?:\/(.*?)\/?)?$/.exec(target) ?? [];
  if (!BUCKET.test(bucket) || (prefix !== '' && !isName(prefix))) {
    throw archiveErrors.targetInvalid(withoutUser(target));
  }
  return new S3Store({ ...s3, endpoint: checkedEndpoint(s3.endpoint), bucket, prefix });
}

function directoryOf(target: string): string {
  try {
    const directory = fileURLToPath(target);
    if (target.startsWith('file:///') && directory !== '/' && !/[?#]/.test(target)) return directory;
  } catch {
    // No URL, or one of another machine.
  }
  throw archiveErrors.targetInvalid(target);
}

function checkedEndpoint(endpoint: string): string {
  const origin = originOf(endpoint);
  if (origin === undefined) throw archiveErrors.endpointInvalid(withoutUser(endpoint));
  return origin;
}

/** An endpoint as `S3Store` takes it, where empty is Amazon's. Undefined: it is not http://host:port or https://host:port. */
export function originOf(endpoint: string): string | undefined {
  if (endpoint === '') return '';
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
  const isMore = !isHttp || url.pathname !== '/' || url.search || url.hash || url.username || url.password;
  return isMore ? undefined : url.origin;
}

/** A URL may hold a password where none belongs. */
function withoutUser(url: string): string {
  return url.replace(/\/\/.*@/, '//…@');
}
