/** The address of a server. */
export interface Target {
  /** The path of a Unix socket; undefined for TCP. */
  readonly path: string | undefined;
  readonly host: string;
  readonly port: number;
  /** The name of the server in calls, HTTP's `:authority`. */
  readonly authority: string;
}

const HTTPS_PORT = 443;

/** Parses `host:port`, `host`, `[address]:port` or `unix:/path`. Without a port it is 443. */
export function parseTarget(text: string): Target {
  if (text.startsWith('unix:')) {
    return { path: text.slice('unix:'.length), host: 'localhost', port: 0, authority: 'localhost' };
  }
  const [, bracketed, plain, port] = /^(?:\[(.*)\]|(.*?))(?::(\d+))?$/s.exec(text)!;
  return {
    path: undefined,
    host: bracketed ?? plain ?? '',
    port: port === undefined ? HTTPS_PORT : Number(port),
    authority: text,
  };
}
