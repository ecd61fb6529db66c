import type { Node, Replica } from '@coxswain/node';
import { check } from './violation.js';

/** The state of a replica at the last observation. */
interface Seen {
  /**
   * Identifies the opened table: another object after the replica was opened again, when state that was not durable may
   * be gone.
   */
  readonly table: object;
  readonly index: number;
}

/**
 * Compares two clusters after every event: a replica of a leader cluster's table, at some index of the leader cluster,
 * must hold exactly the content of the leader cluster's table at that index (R1, R2, A6), and never go back.
 *
 * Indices of a table's name never come twice, whichever shards have the name (T1), so name and index identify a state.
 */
export class ReplicasOfReplicas {
  /** Content hashes by table, then by index of the leader cluster. */
  readonly #hashes = new Map<string, Map<number, string>>();
  readonly #seen = new WeakMap<Replica, Seen>();
  /** The number of states of the follower cluster that were compared. */
  compared = 0;

  observeLeader(node: Node): void {
    for (const { name, replica, index, hash } of this.#changed(node, (each) => each.table.appliedIndex)) {
      if (replica.table.sealedBy !== undefined) continue;
      const hashes = this.#hashes.get(name) ?? new Map<number, string>();
      this.#hashes.set(name, hashes);
      hashes.set(index, hash);
    }
  }

  observeFollower(node: Node): void {
    for (const { name, replica, index, hash, before } of this.#changed(
      node,
      (each) => each.table.leaderIndex,
    )) {
      check(
        before === undefined || index >= before,
        'a follower cluster never goes back',
        () => `table ${name}, shard ${replica.group}: from ${before} to ${index}`,
      );
      check(
        replica.table.revision === index,
        "revisions are the leader cluster's",
        () => `table ${name}, shard ${replica.group}: revision ${replica.table.revision} at ${index}`,
      );
      const expected = this.#hashes.get(name)?.get(index);
      if (expected === undefined) continue;
      this.compared++;
      check(
        hash === expected,
        'a follower cluster holds what its leader cluster held',
        () => `table ${name}, shard ${replica.group}, index ${index}: ${hash}, not ${expected}`,
      );
    }
  }

  *#changed(
    node: Node,
    indexOf: (replica: Replica) => number | undefined,
  ): Iterable<{ name: string; replica: Replica; index: number; hash: string; before: number | undefined }> {
    for (const replica of node.inspect().groups) {
      const { name } = replica;
      // The meta group is no table, and a table that is loading or in quarantine has a name with a slash.
      if (name === undefined || name === 'meta' || name.includes('/') || !replica.isServing) continue;
      const { table } = replica;
      const hash = table.contentHash;
      const index = indexOf(replica);
      if (hash === undefined || index === undefined || index === 0) continue;
      const seen = this.#seen.get(replica);
      if (seen?.table === table && seen.index === index) continue;
      this.#seen.set(replica, { table, index });
      const before = seen?.table === table ? seen.index : undefined;
      yield { name, replica, index, hash, before };
    }
  }
}
