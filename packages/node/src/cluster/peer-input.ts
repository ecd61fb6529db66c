import type { GroupId } from '@coxswain/wal';
import type { PeerHandler } from '../api/environment.js';
import type { Replica } from '../group/replica.js';
import type { Replicas } from '../group/replicas.js';
import type { Snapshots } from '../group/snapshots.js';
import type { Turns } from '../group/turns.js';
import type { Admission } from './admission.js';
import type { Formation } from './formation.js';
import type { FrameHeader, PeerMessage } from './frame.js';
import type { MemberQuestions } from './member-questions.js';
import type { Peers } from './peers.js';

type GroupMessage = Exclude<PeerMessage, { type: 'hello' | 'introduce' | 'records' | 'ask' | 'answer' }>;

/** The parts of a node that PeerInput uses. */
export interface PeerInputOptions {
  readonly peers: Peers;
  readonly formation: Formation;
  readonly admission: Admission;
  readonly questions: MemberQuestions;
  readonly replicas: Replicas;
  readonly snapshots: Snapshots;
  readonly turns: Turns;
  readonly isStopping: () => boolean;
  /** Sends a snapshot in the background. */
  readonly sendSnapshot: (replica: Replica, to: number) => void;
}

/** Brings the messages of the other members to the parts of the node that they are for. */
export class PeerInput {
  readonly #options: PeerInputOptions;

  constructor(options: PeerInputOptions) {
    this.#options = options;
  }

  readonly handler: PeerHandler = {
    onFrame: (frame) => this.#onFrame(frame),
    onConnected: (peer) => {
      const { peers, replicas, formation, admission, turns } = this.#options;
      peers.setConnected(peer, true);
      for (const replica of replicas.values()) replica.peerConnected(peer);
      formation.tick();
      admission.connected(peer);
      turns.run();
    },
    onDisconnected: (peer) => {
      const { peers, replicas, formation } = this.#options;
      peers.setConnected(peer, false);
      formation.peerLost(peer);
      for (const replica of replicas.values()) replica.peerLost(peer);
    },
    onBulk: async (source) => {
      const { isStopping, admission, snapshots } = this.#options;
      if (isStopping()) return { accepted: false, reason: 'the node is stopping' };
      if (!admission.isAdmitted) return { accepted: false, reason: 'the node has only just started' };
      return await snapshots.receive(source);
    },
  };

  #onFrame(frame: Buffer): void {
    const { peers, formation, admission, questions, isStopping } = this.#options;
    if (isStopping()) return;
    const received = peers.receive(frame);
    if (received === undefined) return;
    const { reader, isMember, isKnown } = received;
    while (!reader.isAtEnd) {
      const message = peers.next(reader);
      if (message === undefined) return;
      if (message.type === 'hello') formation.onHello(reader.header, message);
      else if (message.type === 'introduce') {
        if (isMember) admission.onIntroduce(reader.header, message);
      } else if (message.type === 'records') {
        if (isMember) admission.onRecords(reader.header.from, message.records);
      } else if (message.type === 'ask') {
        if (isKnown) questions.onAsk(reader.header.from, message);
      } else if (message.type === 'answer') {
        if (isKnown) questions.onAnswer(reader.header.from, message);
      } else if (isKnown && admission.isAdmitted) this.#onGroupMessage(message, reader.header);
    }
    // Greetings are answered outside of the turns of any group.
    if (!isMember) peers.flush();
  }

  #onGroupMessage(message: GroupMessage, { from, boot }: FrameHeader): void {
    const replica = this.spokenTo(message.group);
    // The group is not made here yet, or was dropped: Raft repeats what matters.
    if (replica === undefined) return;
    switch (message.type) {
      case 'raft':
        replica.step(message.message);
        return;
      case 'forward':
        replica.acceptForward(message, { node: from, boot });
        return;
      case 'traces':
        replica.forwards.acceptTraces(message, { node: from, boot });
        return;
      case 'refused':
        replica.refused(message.term, message.sequences, message.isBusy);
        return;
      case 'quiesce':
        replica.acceptQuiesce(message, from);
        return;
      case 'snapshotWanted':
        if (replica.isLeader) this.#options.sendSnapshot(replica, from);
        // The member that asks may be the leader for which this replica waits in a quiet group.
        else replica.wake();
        return;
    }
  }

  /** Gives the replica of a group whose members speak in frames; undefined for any other group. */
  spokenTo(group: GroupId): Replica | undefined {
    const replica = this.#options.replicas.get(group);
    return replica?.speaksFrames ? replica : undefined;
  }
}
