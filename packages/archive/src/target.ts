import { fileURLToPath } from 'node:url';
import { DirectoryStore } from './adapters/directory-store.js';
import type { S3Options } from './adapters/s3-requests.js';
import { S3Store } from './adapters/s3-store.js';
import { archiveErrors } from './errors.js';
import { isName, type ObjectStore } from './store.js';

/** The place of an archive, as the configuration names it. */
export interface ArchiveTarget
  extends Pick<S3Options, 'accessKeyId' | 'secretAccessKey' | 'endpoint' | 'region'> {
  /** `file:///directory`, `s3://bucket` or `s3://bucket/prefix`. */
  readonly target: string;
}

const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/;

/**
 * Opens the store that the target names, without asking it for anything. Throws targetInvalid and credentialsMissing.
 */
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
    // It is no URL, or one of another machine.
  }
  throw archiveErrors.targetInvalid(target);
}

function checkedEndpoint(endpoint: string): string {
  const origin = originOf(endpoint);
  if (origin === undefined) throw archiveErrors.endpointInvalid(withoutUser(endpoint));
  return origin;
}

/**
 * Returns an endpoint in the form that `S3Store` takes, where empty is Amazon's; undefined when it is not
 * http://host:port or https://host:port.
 */
export function originOf(endpoint: string): string | undefined {
  if (endpoint === '') return '';
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
  const isMore = !isHttp || url.pathname !== '/' || url.search || url.hash || url.username || url.password;
  return isMore ? undefined : url.origin;
}

/** Removes user and password from a URL, which may have them where none belong. */
function withoutUser(url: string): string {
  return url.replace(/\/\/.*@/, '//…@');
}
