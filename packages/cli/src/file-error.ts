/** The words for the system's error codes of files and directories. */
const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not use it',
  EPERM: 'this user may not use it',
  EISDIR: 'it is a directory',
  EEXIST: 'it is a file, or lies in one: name a directory',
  ENOTDIR: 'it is a file, or lies in one: name a directory',
  EROFS: 'its file system is read-only',
  ENOSPC: 'the disk is full: make room',
  EDQUOT: 'the quota of the disk is used up: make room',
};

/** Says why a file cannot be read or written, without its name. */
export function whyUnusable(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return reasons[code ?? ''] ?? `it cannot be used (${code ?? message})`;
}

/** Names a file and says what is wrong with it. Returns undefined for an error that is not the file system's. */
export function describeFileError(error: unknown): string | undefined {
  const { code, path } = error as Partial<NodeJS.ErrnoException>;
  const reason = reasons[code ?? ''];
  if (reason === undefined) return undefined;
  return path === undefined ? reason : `${path}: ${reason}`;
}
