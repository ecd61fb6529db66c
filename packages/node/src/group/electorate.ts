import type { Membership } from '@coxswain/raft';
import { answersOf } from '../api/counted.js';
import { type ApiError, errors } from '../api/errors.js';
import type { Leaderless } from '../api/reports-api.js';
import type { ReplicaHost } from './replica-host.js';

/** Knows which voters of a group answer. The group can have a leader only while a quorum of them does. */
export class Electorate {
  readonly #host: ReplicaHost;

  constructor(host: ReplicaHost) {
    this.#host = host;
  }

  /** Whether enough voters answer, this node included, for the group to have a leader. */
  isQuorumAlive(membership: Membership): boolean {
    return this.#aliveCount(membership) > membership.voters.length / 2;
  }

  /** Says why the group has no leader, or at least how many of its voters answer. */
  whyLeaderless(membership: Membership): Leaderless {
    const reason = this.#whyLeaderless(membership);
    return reason === undefined
      ? { code: 'noLeader', reason: this.#answer(membership) }
      : { code: 'leaderless', reason };
  }

  /** Makes the error for requests to a table whose group has no leader. */
  leaderless(table: string, membership: Membership): ApiError {
    const { code, reason } = this.whyLeaderless(membership);
    return errors[code](table, reason);
  }

  #whyLeaderless(membership: Membership): string | undefined {
    const isQuorum = this.isQuorumAlive(membership);
    return this.#host.elsewhere?.whyLeaderless({ answer: this.#answer(membership), isQuorum });
  }

  /** Says how many voters answer, in words. */
  #answer(membership: Membership): string {
    return answersOf(this.#aliveCount(membership), membership.voters.length);
  }

  /** Counts the voters that answer, this node included. */
  #aliveCount({ voters }: Membership): number {
    const { member, peers } = this.#host;
    return voters.filter((voter) => voter === member.nodeId || peers.isAlive(voter)).length;
  }
}
