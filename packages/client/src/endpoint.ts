import { Channel, type ChannelState } from '@coxswain/channel';
import type { Place, TlsOptions } from './place.js';

/** Milliseconds without a byte, while a call waits, after which the connection is tested. */
const SILENCE_MS = 2_000;
/** Milliseconds that the test may take before the connection is closed; the next call dials again. */
const TRIAL_MS = 2_000;

export interface EndpointOptions {
  /** TLS for an address without a scheme, and the options of TLS for any. */
  readonly tls?: TlsOptions | (() => TlsOptions) | boolean | undefined;
  /** Milliseconds without a byte after which TCP probes the connection; 0, the default, means never. */
  readonly tcpProbeMs?: number;
  /** Called with what becomes of the connection, see `ChannelOptions.onStateChange`. It must not throw. */
  readonly onStateChange?: ((address: string, state: ChannelState, reason: string) => void) | undefined;
}

/** One node of the cluster, and the connection to it, which is made when it is first needed. */
export class Endpoint {
  readonly address: string;
  readonly #target: string;
  readonly #tls: (() => TlsOptions) | undefined;
  readonly #place: Omit<Place, 'tls'>;
  readonly #tcpProbeMs: number;
  readonly #onStateChange: EndpointOptions['onStateChange'];
  #channel: Channel | undefined;

  /**
   * Parses `host:port`, `http://…`, `https://…`, `unix:///path` or `unixs:///path`. Throws a TypeError for anything
   * else; its message says what an endpoint looks like.
   */
  constructor(address: string, { tls, tcpProbeMs = 0, onStateChange }: EndpointOptions = {}) {
    this.address = address;
    this.#tcpProbeMs = tcpProbeMs;
    this.#onStateChange = onStateChange;
    const match = /^(?:(https?|unixs?):\/\/)?(.+?)\/?$/.exec(address);
    const [, scheme, rest = ''] = match ?? [];
    this.#target = scheme?.startsWith('unix') ? `unix:${rest}` : rest;
    const isSecure = scheme ? scheme.endsWith('s') : Boolean(tls);
    const given = typeof tls === 'function' ? tls : () => (typeof tls === 'object' ? tls : {});
    this.#tls = isSecure ? given : undefined;
    const separator = rest.lastIndexOf(':');
    this.#place = {
      path: scheme?.startsWith('unix') ? rest : undefined,
      host: rest.slice(0, separator < 0 ? undefined : separator).replace(/^\[|\]$/g, ''),
      port: separator < 0 ? 443 : Number(rest.slice(separator + 1)),
    };
    const { path, host, port } = this.#place;
    const isPlace = /^[^/]+$/.test(host) && Number.isInteger(port) && port > 0 && port < 65_536;
    if (path === undefined ? !isPlace : !path.startsWith('/'))
      throw new TypeError(
        `not an endpoint: "${address}": give host:port, or a URL with http, https, unix or unixs`,
      );
  }

  /** Returns the channel for a call that begins now, and makes it when there is none. */
  get channel(): Channel {
    this.#channel ??= new Channel(this.#target, {
      tls: this.#tls,
      silenceMs: SILENCE_MS,
      trialMs: TRIAL_MS,
      tcpProbeMs: this.#tcpProbeMs,
      onStateChange: (state, reason) => this.#onStateChange?.(this.address, state, reason),
      // A page of a range is up to 4 MiB; with HTTP/2's default window it would come in steps of 64 KiB.
      windowBytes: 4 * 1024 * 1024,
      // Short pauses, so that a node that comes back is used again soon.
      backoffMsMin: 100,
      backoffMsMax: 1_000,
    });
    return this.#channel;
  }

  /** Resolves when there is a connection. Rejects when it is refused, or after `timeoutMs`. */
  ready(timeoutMs: number): Promise<void> {
    return this.channel.ready(timeoutMs);
  }

  /**
   * Finds out why there is no connection; resolves with undefined when one can be made now. Takes at most twice
   * `timeoutMs`.
   */
  async diagnose(timeoutMs: number): Promise<string | undefined> {
    // Loaded late: a client that reaches its nodes never needs it, nor the TLS that it imports.
    const { diagnose } = await import('./diagnosis.js');
    return await diagnose({ ...this.#place, tls: this.#tls?.() }, timeoutMs);
  }

  /** Closes the connection. The next call would make another one. */
  close(): void {
    this.#channel?.close();
    this.#channel = undefined;
  }
}
