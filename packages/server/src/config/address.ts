/** The address of a listener: a TCP port or a Unix socket, with or without TLS. */
export interface ListenAddress {
  readonly isTls: boolean;
  /** The host, set for http and https. */
  readonly host?: string;
  /** The port, set for http and https; with 0 the system chooses one. */
  readonly port?: number;
  /** The socket's file, set for unix and unixs. */
  readonly path?: string;
}

/**
 * Reads an address in Regatta's form (docs/protocol.md §5): `http://host:port`, `https://host:port`, `unix:///path` or
 * `unixs:///path`. The scheme decides about TLS. The default scheme is http, the default host the loopback address.
 * Returns undefined when the text is not an address.
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

/** Returns whether the text is `host:port` with a host that others can dial, as members' Raft addresses are. */
export function isPeerAddress(text: string): boolean {
  const address = text.includes('://') ? undefined : parseListenAddress(text);
  return address?.port !== undefined && !text.startsWith(':');
}

/** Returns the address in the form that `parseListenAddress` reads. */
export function formatListenAddress(address: ListenAddress): string {
  const suffix = address.isTls ? 's' : '';
  if (address.path !== undefined) return `unix${suffix}://${address.path}`;
  return `http${suffix}://${formatHostAndPort(address.host!, address.port!)}`;
}

/** Returns `host:port`, as `isPeerAddress` takes it. */
export function formatHostAndPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Returns the URL at which clients on the same machine reach a listener: a wildcard host becomes the loopback one. */
export function localUrl(address: ListenAddress): string {
  return formatListenAddress(isWildcard(address) ? { ...address, host: '127.0.0.1' } : address);
}

/** Returns whether the address stands for all addresses of the machine, which nobody can dial. */
export function isWildcard({ host }: ListenAddress): boolean {
  return host === '0.0.0.0' || host === '::';
}
