/** TLS towards the servers: the authorities to trust, and a certificate of one's own where they ask for it. PEM. */
export interface TlsOptions {
  /** Default: the authorities that Node.js trusts. */
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/** Where an endpoint is, and how it is spoken to. */
export interface Place {
  /** A Unix socket's path, or undefined. */
  readonly path: string | undefined;
  readonly host: string;
  readonly port: number;
  /** Undefined: plain. */
  readonly tls: TlsOptions | undefined;
}
