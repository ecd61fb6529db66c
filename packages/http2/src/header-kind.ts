/** The kinds of header fields that a server of HTTP/2 must tell apart (RFC 9113, 8.2 and 8.3). */
export const HeaderKind = {
  /** A field without a meaning of its own. */
  regular: 0,
  /** The pseudo-header fields of a request; each is a bit, so that one number can record which have come. */
  method: 0x1,
  scheme: 0x2,
  path: 0x4,
  authority: 0x8,
  contentLength: 0x10,
  /** A field that makes the request malformed. */
  malformed: 0x20,
} as const;

const ofName = new Map<string, number>([
  [':method', HeaderKind.method],
  [':scheme', HeaderKind.scheme],
  [':path', HeaderKind.path],
  [':authority', HeaderKind.authority],
  ['content-length', HeaderKind.contentLength],
  // HTTP/1.1's fields about a connection are forbidden in HTTP/2 (RFC 9113, 8.2.2).
  ['connection', HeaderKind.malformed],
  ['proxy-connection', HeaderKind.malformed],
  ['keep-alive', HeaderKind.malformed],
  ['transfer-encoding', HeaderKind.malformed],
  ['upgrade', HeaderKind.malformed],
]);

/** Returns the kind of a field, one of `HeaderKind`. A name in upper case is malformed (RFC 9113, 8.2.1). */
export function headerKind(name: string, value: string): number {
  if (name === 'te') return value === 'trailers' ? HeaderKind.regular : HeaderKind.malformed;
  const known = ofName.get(name);
  if (known !== undefined) {
    return known === HeaderKind.path && value === '' ? HeaderKind.malformed : known;
  }
  return isRegularName(name) ? HeaderKind.regular : HeaderKind.malformed;
}

function isRegularName(name: string): boolean {
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at);
    if (code <= 0x20 || code >= 0x7f || code === 0x3a || (code >= 0x41 && code <= 0x5a)) return false;
  }
  return name.length > 0;
}
