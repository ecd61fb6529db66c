import type { GrpcLeaderLink, GrpcLeaderLinkOptions } from './grpc-leader-link.js';

/**
 * Opens a link to a leader cluster, or to a donor. It loads the code for links at the first call, since most nodes of
 * leader clusters never need one. Throws what the constructor of GrpcLeaderLink throws.
 */
export async function openGrpcLeaderLink(options: GrpcLeaderLinkOptions): Promise<GrpcLeaderLink> {
  const { GrpcLeaderLink } = await import('./grpc-leader-link.js');
  return new GrpcLeaderLink(options);
}
