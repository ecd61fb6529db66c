import { type Node, systemClock, systemRandom } from '@coxswain/node';
import { defaultFollowerOptions, Follower, openGrpcLeaderLink } from '@coxswain/replication';
import { nodeName } from '../config/node-options.js';
import { linkCertificates } from '../process/link-certificates.js';
import type { Shared } from './shared.js';

/** Opens the link to the leader cluster, and the follower, which replicates from there once it is started (R5). */
export async function openFollower(
  node: Node,
  { config, certificates, parts, tracing, log, fatal }: Shared,
): Promise<Follower> {
  const ofLink = certificates.add(linkCertificates(config, log));
  const link = await openGrpcLeaderLink({
    address: config['replication.leader-address'],
    tls: ofLink && (() => ofLink.current),
    serverName: config['replication.server-name'],
    messageBytesMax: config['replication.max-recv-message-size-bytes'],
    keepaliveTimeMs: config['replication.keepalive-time'],
    keepaliveTimeoutMs: config['replication.keepalive-timeout'],
    clock: systemClock,
    log,
  });
  parts.add('link to the leader cluster', { stop: () => link.close() });
  const environment = { clock: systemClock, random: systemRandom, log, link, tracer: tracing?.tracer, fatal };
  const follower = new Follower(node, environment, {
    ...defaultFollowerOptions,
    pollIntervalMs: config['replication.poll-interval'],
    reconcileIntervalMs: config['replication.reconcile-interval'],
    logRpcTimeoutMs: config['replication.log-rpc-timeout'],
    snapshotRpcTimeoutMs: config['replication.snapshot-rpc-timeout'],
    recoveriesMax: config['replication.max-recovery-in-flight'],
    snapshotBytesPerSecondMax: config['replication.max-snapshot-recv-bytes-per-second'],
    followerName: [config['memberlist.cluster-name'], nodeName(config)].filter(Boolean).join('/'),
  });
  parts.add('follower', follower);
  return follower;
}
