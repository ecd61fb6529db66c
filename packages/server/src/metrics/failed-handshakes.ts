import type { MetricJson } from './grpc-metrics.js';

/** Counts the TLS handshakes with listeners that failed, also those that have no line of their own in the log. */
export class FailedHandshakes {
  readonly #byListener = new Map<string, number>();

  /** Counts a failed handshake with the listener of that name. */
  count(listener: string): void {
    this.#byListener.set(listener, (this.#byListener.get(listener) ?? 0) + 1);
  }

  /** Describes the counts for Prometheus. A listener that has none shows 0, so that a rise from nothing is seen. */
  describe(): MetricJson {
    const listeners = new Set(['api', 'raft', 'replication', 'rest', ...this.#byListener.keys()]);
    return {
      name: 'coxswain_handshakes_failed_total',
      help: 'TLS handshakes with a listener that failed, because of a certificate, a protocol or a time limit, and connections whose client certificate has another name than the one that is allowed.',
      type: 'counter',
      values: [...listeners].map((listener) => ({
        labels: { listener },
        value: this.#byListener.get(listener) ?? 0,
      })),
    };
  }
}
