import { type ChannelCredentials, Client, connectivityState, credentials } from '@grpc/grpc-js';
import { diagnose, type Place } from './diagnosis.js';

/** TLS towards the servers: the authorities to trust, and a certificate of one's own where they ask for it. PEM. */
export interface TlsOptions {
  /** Default: the authorities that Node.js trusts. */
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/** One node of the cluster, and the connection to it, made when it is first needed. */
export class Endpoint {
  readonly address: string;
  readonly #target: string;
  readonly #credentials: ChannelCredentials;
  readonly #place: Place;
  #client: Client | undefined;

  /** Takes `host:port`, `http://…`, `https://…`, `unix:///path` or `unixs:///path`. */
  constructor(address: string, tls: TlsOptions | boolean | undefined) {
    this.address = address;
    const match = /^(?:(https?|unixs?):\/\/)?(.+?)\/?$/.exec(address);
    if (!match) throw new TypeError(`not an endpoint: "${address}"`);
    const [, scheme, rest = ''] = match;
    this.#target = scheme?.startsWith('unix') ? `unix:${rest}` : rest;
    const isSecure = scheme ? scheme.endsWith('s') : Boolean(tls);
    const options = typeof tls === 'object' ? tls : {};
    const { ca, cert, key } = options;
    const separator = rest.lastIndexOf(':');
    this.#place = {
      path: scheme?.startsWith('unix') ? rest : undefined,
      host: rest.slice(0, separator < 0 ? undefined : separator).replace(/^\[|\]$/g, ''),
      port: separator < 0 ? 443 : Number(rest.slice(separator + 1)),
      tls: isSecure ? options : undefined,
    };
    this.#credentials = isSecure
      ? credentials.createSsl(ca ?? null, key ?? null, cert ?? null)
      : credentials.createInsecure();
  }

  get client(): Client {
    this.#client ??= new Client(this.#target, this.#credentials, {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      // A page of a range is up to 4 MiB; with HTTP/2's default window it would come in 64 KiB steps.
      'grpc-node.flow_control_window': 4 * 1024 * 1024,
      // A node that comes back is used again soon.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1_000,
      // A connection of one's own: several clients in a process share the load over several connections.
      'grpc.use_local_subchannel_pool': 1,
      // Databases are not behind the web proxy that the environment names.
      'grpc.enable_http_proxy': 0,
    });
    return this.#client;
  }

  /** Resolves when there is a connection. Rejects when it is refused, or after `timeoutMs`. */
  ready(timeoutMs: number): Promise<void> {
    const channel = this.client.getChannel();
    const deadline = Date.now() + timeoutMs;
    return new Promise((resolve, reject) => {
      const look = (error?: Error): void => {
        if (error) {
          reject(error);
          return;
        }
        const state = channel.getConnectivityState(true);
        if (state === connectivityState.READY) resolve();
        else if (state === connectivityState.TRANSIENT_FAILURE)
          reject(new Error('the connection was refused'));
        else channel.watchConnectivityState(state, deadline, look);
      };
      look();
    });
  }

  /** Says why there is no connection; undefined where one comes about now. Takes at most `timeoutMs`. */
  diagnose(timeoutMs: number): Promise<string | undefined> {
    return diagnose(this.#place, timeoutMs);
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }
}
