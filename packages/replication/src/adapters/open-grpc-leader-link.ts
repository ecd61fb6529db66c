import type { GrpcLeaderLink, GrpcLeaderLinkOptions } from './grpc-leader-link.js';

/**
 * Makes a link to a leader cluster, or to a donor. The gRPC client is loaded with the first link: most nodes of leader
 * clusters never need one. Throws the errors of the link's constructor.
 */
export async function openGrpcLeaderLink(options: GrpcLeaderLinkOptions): Promise<GrpcLeaderLink> {
  const { GrpcLeaderLink } = await import('./grpc-leader-link.js');
  return new GrpcLeaderLink(options);
}
