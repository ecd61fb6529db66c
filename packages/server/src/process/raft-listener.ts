import { SocketPeerTransport } from '@coxswain/node';
import { during } from './during.js';

/** Carries the frames of peers; where it cannot listen, the start says so of it and of nothing else. */
export class RaftListener extends SocketPeerTransport {
  override start(...of: Parameters<SocketPeerTransport['start']>): Promise<void> {
    return during('open the raft listener', () => super.start(...of));
  }
}
