/** Where a server is. */
export interface Target {
  /** A Unix socket's path, or undefined. */
  readonly path: string | undefined;
  readonly host: string;
  readonly port: number;
  /** What calls name it, as HTTP's `:authority`. */
  readonly authority: string;
}

const HTTPS_PORT = 443;

/** Takes `host:port`, `host`, `[address]:port` or `unix:/path`. */
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
