import type { Certificates } from '../process/certificates.js';
import type { MetricJson } from './grpc-metrics.js';

/** Describes for Prometheus how long the certificates of all listeners and links are valid. */
export function describeCertificates(
  all: readonly Pick<Certificates<unknown>, 'name' | 'expiries'>[],
): MetricJson {
  return {
    name: 'coxswain_certificate_expiry_seconds',
    help: 'Seconds until the certificate or the authority of a listener or link expires; negative once it has.',
    type: 'gauge',
    values: all.flatMap(({ name, expiries }) =>
      expiries.map(({ kind, expiresMs }) => ({
        labels: { listener: name, kind },
        value: (expiresMs - Date.now()) / 1000,
      })),
    ),
  };
}
