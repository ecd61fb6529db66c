/** TLS options in PEM: the authorities to trust and, if the servers ask for one, the client's own certificate. */
export interface TlsOptions {
  /** The authorities to trust; by default those that Node.js trusts. */
  readonly ca?: Buffer;
  /** The client's own certificate, with its chain. */
  readonly cert?: Buffer;
  /** The private key of the client's certificate. */
  readonly key?: Buffer;
  /** The name that the servers' certificates are checked against; by default the host of the endpoint. */
  readonly serverName?: string;
}

/** The address of an endpoint, and the way to speak to it. */
export interface Place {
  /** The path of a Unix socket; undefined for TCP. */
  readonly path: string | undefined;
  readonly host: string;
  readonly port: number;
  /** TLS options; undefined without TLS. */
  readonly tls: TlsOptions | undefined;
}
