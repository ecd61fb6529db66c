import type { GrpcLeaderLink, GrpcLeaderLinkOptions } from './grpc-leader-link.js';

/**
 * Makes a link to a leader cluster, or to a donor. What it is made with is loaded for the first one: most nodes of leader
 * clusters never have one. Throws what its constructor throws.
 */
export async function openGrpcLeaderLink(options: GrpcLeaderLinkOptions): Promise<GrpcLeaderLink> {
  const { GrpcLeaderLink } = await import('./grpc-leader-link.js');
  return new GrpcLeaderLink(options);
}
