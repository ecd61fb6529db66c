import { SocketPeerTransport } from '@coxswain/node';
import { during } from './during.js';

/** Carries the frames of peers. When it cannot listen, its error names it as the step of the start that failed. */
export class RaftListener extends SocketPeerTransport {
  override start(...of: Parameters<SocketPeerTransport['start']>): Promise<void> {
    return during('open the raft listener', () => super.start(...of));
  }
}
