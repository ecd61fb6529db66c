/** What a header field means to a server of HTTP/2 (RFC 9113, 8.2 and 8.3). */
export const HeaderKind = {
  /** Anything that a request may carry. */
  regular: 0,
  /** The pseudo-header fields of a request; each is a bit, so that what has come can be kept in one number. */
  method: 0x1,
  scheme: 0x2,
  path: 0x4,
  authority: 0x8,
  contentLength: 0x10,
  /** Makes the request that carries it malformed. */
  malformed: 0x20,
} as const;

const ofName = new Map<string, number>([
  [':method', HeaderKind.method],
  [':scheme', HeaderKind.scheme],
  [':path', HeaderKind.path],
  [':authority', HeaderKind.authority],
  ['content-length', HeaderKind.contentLength],
  // What HTTP/1.1 says of a connection has no meaning here (RFC 9113, 8.2.2).
  ['connection', HeaderKind.malformed],
  ['proxy-connection', HeaderKind.malformed],
  ['keep-alive', HeaderKind.malformed],
  ['transfer-encoding', HeaderKind.malformed],
  ['upgrade', HeaderKind.malformed],
]);

/** One of `HeaderKind`. Names that come are in lower case (RFC 9113, 8.2.1). */
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
