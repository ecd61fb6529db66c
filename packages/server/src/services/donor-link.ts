import type { Donor } from '@coxswain/agents';
import { systemClock } from '@coxswain/node';
import { type GrpcLeaderLink, type LinkTls, openGrpcLeaderLink } from '@coxswain/replication';
import type { Log } from '@coxswain/runtime';
import type { Certificates } from '../process/certificates.js';

/** The limit on a donor's messages in bytes, which is more than any message of a log holds (P4). */
const DONOR_MESSAGE_BYTES_MAX = 16 * 1024 * 1024;
/** The keepalive time in milliseconds. A donor that is gone is noticed after twice that time. */
const DONOR_KEEPALIVE_MS = 5_000;

/** Opens a link to a node of the cluster that is being cloned. */
export function openDonorLink(
  { address, token }: Donor,
  authority: Certificates<LinkTls> | undefined,
  log: Log,
): Promise<GrpcLeaderLink> {
  const isTls = authority !== undefined || address.includes('https://');
  return openGrpcLeaderLink({
    address,
    token,
    tls: isTls ? () => authority?.current ?? {} : undefined,
    messageBytesMax: DONOR_MESSAGE_BYTES_MAX,
    keepaliveTimeMs: DONOR_KEEPALIVE_MS,
    keepaliveTimeoutMs: DONOR_KEEPALIVE_MS,
    clock: systemClock,
    log,
  });
}
