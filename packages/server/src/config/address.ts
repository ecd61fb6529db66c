/** Where a listener listens: a TCP port or a Unix socket, with or without TLS. */
export interface ListenAddress {
  readonly isTls: boolean;
  /** Set for http and https. */
  readonly host?: string;
  /** Set for http and https; 0 lets the system choose. */
  readonly port?: number;
  /** Set for unix and unixs: the socket's file. */
  readonly path?: string;
}

/**
 * Reads an address as Regatta has it (docs/protocol.md §5): `http://host:port`, `https://host:port`,
 * `unix:///path` or `unixs:///path`; the scheme decides about TLS. Without a scheme it is http, without a
 * host the loopback address. Undefined where the text is no address.
 */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const match = /^(?:(http|https|unix|unixs):\/\/)?(.+)$/.exec(text);
  if (!match) return undefined;
  const [, scheme = 'http', rest = ''] = match;
  const isTls = scheme.endsWith('s');
  if (scheme.startsWith('unix')) return { isTls, path: rest };
  const hostAndPort = /^(\[[0-9a-f:.]+\]|[^:/[\]]*):(\d{1,5})\/?$/i.exec(rest);
  if (!hostAndPort) return undefined;
  const port = Number(hostAndPort[2]);
  if (port > 65_535) return undefined;
  const host = hostAndPort[1]!.replace(/^\[|\]$/g, '');
  return { isTls, host: host === '' ? '127.0.0.1' : host, port };
}

/** Says whether the text is `host:port` with a host that others can dial, as members' Raft addresses are. */
export function isPeerAddress(text: string): boolean {
  const address = text.includes('://') ? undefined : parseListenAddress(text);
  return address?.port !== undefined && !text.startsWith(':');
}

/** The address in the form that `parseListenAddress` reads. */
export function formatListenAddress(address: ListenAddress): string {
  const suffix = address.isTls ? 's' : '';
  if (address.path !== undefined) return `unix${suffix}://${address.path}`;
  return `http${suffix}://${formatHostAndPort(address.host!, address.port!)}`;
}

/** `host:port`, as `isPeerAddress` takes it. */
export function formatHostAndPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The URL that clients on the same machine reach a listener at: a wildcard host becomes the loopback one. */
export function localUrl(address: ListenAddress): string {
  return formatListenAddress(isWildcard(address) ? { ...address, host: '127.0.0.1' } : address);
}

/** Whether it is every address of the machine: nobody can dial that. */
export function isWildcard({ host }: ListenAddress): boolean {
  return host === '0.0.0.0' || host === '::';
}
