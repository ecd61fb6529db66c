import { crc32 } from 'node:zlib';
import type { Entry, NodeId } from '@coxswain/raft';
import type { GroupInspection } from './inspection.js';
import { check } from './violation.js';

type GroupId = number;

/** A log entry by its identity: equal terms at an index mean equal content (§5.3). */
interface KnownEntry {
  readonly previousTerm: number | undefined;
  readonly digest: number;
}

interface CommittedEntry {
  readonly term: number;
  readonly digest: number;
  /** The term of the node that first showed that the entry is committed. */
  readonly knownInTerm: number;
}

/** The state of one replica at the last observation. */
class Replica {
  life: object | undefined;
  term = 0;
  commitIndex = 0;
  appliedIndex = 0;
  /** The applied index at which the content hash was compared: the hash is unknown while keys are swept (A4). */
  hashedIndex = 0;
  durableIndex = 0;
  lastIndex = 0;
  firstIndex = 1;
  isLeader = false;
  /**
   * True when the node has dropped its replica: by then every member knew that nobody asks the group for anything (T2).
   */
  isDropped = false;
  /** Terms of the log by index, from `firstIndex - 1` on; a replica that died now would have these. */
  readonly terms = new Map<number, number>();
  /**
   * The states of earlier disks that the replica lost. Over wolf.raft they count until it votes again: as long as it
   * does not, it helps to elect nobody who lacks their entries (T4).
   */
  readonly lost: Replica[] = [];

  /** Whether the replica holds the entry durably, or has compacted it. */
  holds(index: number, term: number): boolean {
    if (this.isDropped || index < this.firstIndex) return true;
    return index <= this.durableIndex && this.terms.get(index) === term;
  }
}

/** The history of the whole cluster in one group. */
class Group {
  readonly leaderByTerm = new Map<number, NodeId>();
  /** Entries by index and term. */
  readonly entries = new Map<string, KnownEntry>();
  readonly committed = new Map<number, CommittedEntry>();
  committedUpTo = 0;
  readonly hashByAppliedIndex = new Map<number, string>();
  readonly replicas = new Map<NodeId, Replica>();
  voters: readonly NodeId[] = [];
}

/**
 * Checks the safety properties of Raft (figure 3 of the paper) and our own, on every node after each of its events. It
 * looks only at changes since the last time, so that an event that changes nothing costs a few comparisons.
 */
export class Invariants {
  readonly #groups = new Map<GroupId, Group>();
  /** By group, then by member and term, the candidate that each member elected, for members that were seen voting. */
  readonly #votes = new Map<GroupId, Map<string, NodeId>>();
  /** The groups that each node hosts in its present life. */
  readonly #hosted = new Map<NodeId, readonly GroupId[]>();
  /**
   * Called for each entry when it is first seen, with the node that appended it; undefined when that node was not seen.
   */
  onEntry: (leader: NodeId | undefined, group: GroupId, entry: Entry) => void = () => undefined;

  /** Checks a node after one of its events. */
  observe(node: NodeId, groups: readonly GroupInspection[]): void {
    for (const now of groups) {
      if (now.isBetweenTurns) this.#observeDurable(node, now);
      else this.#observeGroup(node, now);
    }
    const before = this.#hosted.get(node);
    if (before?.length === groups.length && groups.every(({ group }, at) => group === before[at])) return;
    const hosted = groups.map(({ group }) => group);
    this.#hosted.set(node, hosted);
    for (const group of before ?? []) if (!hosted.includes(group)) this.#observeDropped(node, group);
  }

  /**
   * Records that the process of `node` has died: state that was only in memory is gone, and may be less when it comes
   * back. State that its wal held durably stays.
   */
  nodeDied(node: NodeId): void {
    this.#hosted.delete(node);
    for (const group of this.#groups.values()) {
      const replica = group.replicas.get(node);
      if (replica === undefined) continue;
      for (let index = replica.durableIndex + 1; index <= replica.lastIndex; index++)
        replica.terms.delete(index);
      replica.lastIndex = Math.min(replica.lastIndex, replica.durableIndex);
      forgetMemory(replica);
    }
  }

  /** Records that the disks of `node`, which does not run, are empty now. */
  diskLost(node: NodeId): void {
    for (const { replicas } of this.#groups.values()) {
      const replica = replicas.get(node);
      if (replica !== undefined) replicas.set(node, beginAnew(replica));
    }
  }

  /** Records a vote that has left `node`: it has one vote in a term, even if its disk is lost meanwhile (D1, T4). */
  voted(node: NodeId, groupId: GroupId, term: bigint, candidate: NodeId): void {
    const votes = this.#votes.get(groupId) ?? new Map<string, NodeId>();
    this.#votes.set(groupId, votes);
    const key = `${node} ${term}`;
    const before = votes.get(key) ?? candidate;
    votes.set(key, before);
    check(
      before === candidate,
      'one vote in a term',
      () => `group ${groupId}: node ${node} elects ${candidate} in term ${term}, and has elected ${before}`,
    );
  }

  /**
   * Updates the durable index between turns: entries that the wal was given before are acknowledged when durable, even
   * while a full disk delays the next turn.
   */
  #observeDurable(node: NodeId, now: GroupInspection): void {
    const seen = this.#groups.get(now.group)?.replicas.get(node);
    if (seen === undefined || seen.life !== now.life) return;
    const durableIndex = Math.min(now.durableIndex, seen.lastIndex);
    if (durableIndex <= seen.durableIndex) return;
    if (seen.terms.get(durableIndex) === now.termAt(durableIndex)) seen.durableIndex = durableIndex;
  }

  #observeDropped(node: NodeId, group: GroupId): void {
    const replica = this.#groups.get(group)?.replicas.get(node);
    if (replica !== undefined) replica.isDropped = true;
  }

  #observeGroup(node: NodeId, now: GroupInspection): void {
    let group = this.#groups.get(now.group);
    if (group === undefined) {
      group = new Group();
      this.#groups.set(now.group, group);
    }
    let seen = group.replicas.get(node);
    if (seen === undefined) {
      seen = new Replica();
      group.replicas.set(node, seen);
    }
    // The replica's log begins with nothing again.
    if (now.firstIndex < seen.firstIndex) {
      seen = beginAnew(seen);
      group.replicas.set(node, seen);
    }
    const name = () => `node ${node}, group ${now.group}`;
    const { term, commitIndex, appliedIndex, lastIndex, firstIndex, durableIndex } = now;

    if (seen.life !== now.life) {
      seen.life = now.life;
      forgetMemory(seen);
    }
    const isSame =
      seen.term === term &&
      seen.commitIndex === commitIndex &&
      seen.appliedIndex === appliedIndex &&
      seen.lastIndex === lastIndex &&
      seen.firstIndex === firstIndex &&
      seen.durableIndex === durableIndex &&
      seen.isLeader === (now.role === 'leader') &&
      (seen.lost.length === 0 || !now.isVoter) &&
      seen.terms.get(lastIndex) === now.termAt(lastIndex);
    if (isSame) {
      if (seen.hashedIndex !== appliedIndex) this.#observeApplied(group, node, seen, now);
      return;
    }

    check(term >= seen.term, 'monotonic term', () => `${name()}: ${seen.term} -> ${term}`);
    check(
      commitIndex >= seen.commitIndex,
      'monotonic commit',
      () => `${name()}: ${seen.commitIndex} -> ${commitIndex}`,
    );
    check(
      appliedIndex >= seen.appliedIndex,
      'monotonic applied',
      () => `${name()}: ${seen.appliedIndex} -> ${appliedIndex}`,
    );
    check(
      firstIndex - 1 <= appliedIndex || now.contentHash === undefined,
      'purged <= applied',
      () => `${name()}: the log begins at ${firstIndex}, applied is ${appliedIndex}`,
    );
    check(
      appliedIndex <= commitIndex && commitIndex <= lastIndex,
      'applied <= committed <= last',
      () => `${name()}: ${appliedIndex}, ${commitIndex}, ${lastIndex}`,
    );
    check(
      appliedIndex <= Math.max(durableIndex, firstIndex - 1),
      'applied only durable entries (D2)',
      () => `${name()}: applied ${appliedIndex}, durable ${durableIndex}`,
    );
    check(
      now.role !== 'leader' ||
        !seen.isLeader ||
        commitIndex === seen.commitIndex ||
        now.termAt(commitIndex) === term,
      'a leader commits by counting only in its own term (§5.4.2)',
      () => `${name()}: leads term ${term} and commits ${commitIndex}/${now.termAt(commitIndex)}`,
    );
    if (now.voters.length > 0) group.voters = now.voters;

    this.#observeLog(group, node, seen, now);
    if (now.isVoter && seen.lost.length > 0) {
      seen.lost.length = 0;
      for (const index of group.committed.keys()) this.#checkOnQuorum(group, now, index);
    }
    if (now.role === 'leader' && (!seen.isLeader || seen.term !== term))
      this.#observeLeader(group, node, now);
    this.#observeCommitted(group, node, seen, now);
    if (appliedIndex !== seen.hashedIndex) this.#observeApplied(group, node, seen, now);

    seen.term = term;
    seen.commitIndex = commitIndex;
    seen.appliedIndex = appliedIndex;
    seen.isLeader = now.role === 'leader';
  }

  /** Checks log matching: equal index and term mean equal entries, and equal logs before them. */
  #observeLog(group: Group, node: NodeId, seen: Replica, now: GroupInspection): void {
    const { firstIndex, lastIndex } = now;
    // Everything up to the last index at which the terms still agree was checked before.
    let agreed = Math.min(seen.lastIndex, lastIndex);
    while (agreed >= firstIndex && seen.terms.get(agreed) !== now.termAt(agreed)) agreed -= 1;
    const lost: number[] = [];
    for (let index = Math.max(agreed + 1, firstIndex); index <= seen.lastIndex; index++) {
      if (seen.terms.get(index) !== now.termAt(index)) lost.push(index);
      seen.terms.delete(index);
    }
    if (firstIndex > seen.firstIndex) {
      // This goes over the keys and not the indices, since a shard that took over a name begins a billion further on
      // (T1).
      for (const index of seen.terms.keys()) if (index < firstIndex - 1) seen.terms.delete(index);
    }
    const baseTerm = now.termAt(firstIndex - 1);
    if (baseTerm !== undefined) seen.terms.set(firstIndex - 1, baseTerm);
    for (let index = Math.max(agreed + 1, firstIndex); index <= lastIndex; index++) {
      const entry = now.entry(index);
      const previousTerm = now.termAt(index - 1);
      check(entry !== undefined, 'log matching', () => `node ${node}, group ${now.group}: no entry ${index}`);
      const digest = crc32(entry.data);
      const key = `${index}/${entry.term}`;
      const known = group.entries.get(key);
      if (known === undefined) {
        group.entries.set(key, { previousTerm, digest });
        const isOwn = now.role === 'leader' && entry.term === now.term;
        this.onEntry(isOwn ? node : group.leaderByTerm.get(entry.term), now.group, entry);
      } else {
        check(
          known.digest === digest &&
            (known.previousTerm === undefined ||
              previousTerm === undefined ||
              known.previousTerm === previousTerm),
          'log matching',
          () => `node ${node}, group ${now.group}: entry ${key} differs from the one that others have`,
        );
      }
      seen.terms.set(index, entry.term);
    }
    seen.firstIndex = firstIndex;
    seen.lastIndex = lastIndex;
    seen.durableIndex = now.durableIndex;
    for (const index of lost) {
      if (index <= group.committedUpTo) this.#checkOnQuorum(group, now, index);
    }
  }

  /** Checks that a term has one leader, and that the leader has every entry that was committed before. */
  #observeLeader(group: Group, node: NodeId, now: GroupInspection): void {
    const elected = group.leaderByTerm.get(now.term);
    check(
      elected === undefined || elected === node,
      'election safety',
      () => `group ${now.group}: nodes ${elected} and ${node} both lead term ${now.term}`,
    );
    group.leaderByTerm.set(now.term, node);
    for (let index = now.firstIndex; index <= group.committedUpTo; index++) {
      const committed = group.committed.get(index);
      // A candidate whose last votes come late may win an old term after a later one has committed.
      if (committed === undefined || committed.knownInTerm >= now.term) continue;
      check(
        now.termAt(index) === committed.term,
        'leader completeness',
        () =>
          `group ${now.group}: node ${node} leads term ${now.term} without the committed entry ` +
          `${index}/${committed.term}; it has ${now.termAt(index) ?? 'nothing'} there`,
      );
    }
  }

  /** Checks that a committed entry never changes, is the same on every node, and is on a quorum. */
  #observeCommitted(group: Group, node: NodeId, seen: Replica, now: GroupInspection): void {
    const from = Math.max(seen.commitIndex + 1, now.firstIndex);
    for (let index = from; index <= now.commitIndex; index++) {
      const entry = now.entry(index);
      check(entry !== undefined, 'committed <= last', () => `node ${node}, group ${now.group}: no ${index}`);
      const digest = crc32(entry.data);
      const known = group.committed.get(index);
      if (known !== undefined) {
        check(
          known.term === entry.term && known.digest === digest,
          'state machine safety',
          () =>
            `group ${now.group}: node ${node} commits ${index}/${entry.term}, ` +
            `but ${index}/${known.term} was committed before`,
        );
        continue;
      }
      group.committed.set(index, { term: entry.term, digest, knownInTerm: now.term });
      group.committedUpTo = Math.max(group.committedUpTo, index);
      this.#checkOnQuorum(group, now, index);
    }
  }

  /** Checks that a quorum of replicas, dead ones included, holds the committed entry durably or has compacted it. */
  #checkOnQuorum(group: Group, now: GroupInspection, index: number): void {
    const committed = group.committed.get(index);
    if (committed === undefined || group.voters.length === 0) return;
    let holders = 0;
    for (const voter of group.voters) {
      const replica = group.replicas.get(voter);
      if (replica === undefined) continue;
      const isHeld = (held: Replica): boolean => held.holds(index, committed.term);
      if (isHeld(replica) || replica.lost.some(isHeld)) holders += 1;
    }
    check(
      holders > group.voters.length / 2,
      'committed on a quorum',
      () => `group ${now.group}: entry ${index}/${committed.term} is on ${holders} of ${group.voters.length}`,
    );
  }

  /** Checks that replicas which applied the same entries hold the same content (A1, A6). */
  #observeApplied(group: Group, node: NodeId, seen: Replica, now: GroupInspection): void {
    const hash = now.contentHash;
    if (hash === undefined) return;
    seen.hashedIndex = now.appliedIndex;
    const known = group.hashByAppliedIndex.get(now.appliedIndex);
    if (known === undefined) group.hashByAppliedIndex.set(now.appliedIndex, hash);
    check(
      known === undefined || known === hash,
      'equal hashes',
      () => `group ${now.group}: node ${node} at ${now.appliedIndex} has ${hash}, others ${known}`,
    );
  }
}

/** Makes a replica with an empty log in the place of one that may have acknowledged entries. */
function beginAnew(before: Replica): Replica {
  const replica = new Replica();
  replica.lost.push(...before.lost, before);
  return replica;
}

/** Forgets state that is not on the disk and may go back when the core starts again. */
function forgetMemory(replica: Replica): void {
  replica.term = 0;
  replica.commitIndex = 0;
  replica.appliedIndex = 0;
  replica.hashedIndex = 0;
  replica.isLeader = false;
}
