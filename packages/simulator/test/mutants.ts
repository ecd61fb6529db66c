/** What is put into the text of a module. */
export interface Edit {
  /** A module of the repository, below `packages/`. */
  readonly module: string;
  /** Is found in the module once. */
  readonly from: string | RegExp;
  readonly to: string;
}

/** A bug that is put into the text of the real code: for what no method that can be replaced stands between. */
export interface Mutant extends Edit {
  readonly name: string;
  /** More to put in, elsewhere. */
  readonly more?: readonly Edit[];
  /** How long each run is. Default: what all have. */
  readonly steps?: number;
  /** The scenario in which it is looked for. Default: that of entries that are large ones. */
  readonly adjust?:
    | 'counting'
    | 'deleting'
    | 'handingOver'
    | 'restlessApart'
    | 'restlessApartOverWolf'
    | 'restlessOverWolf'
    | 'slowSyncs';
  /** The properties whose checks must find it. */
  readonly properties: readonly string[];
  /** Found it, and soon, when this was written. The search goes on from there. */
  readonly firstSeed: number;
}

/** Trap 1 of wolf.raft: a leader of async-raft counts what it names as replicated. */
const namesTheLastEntry = {
  module: 'wolf/dist/src/receive.js',
  from: 'const { commitIndex } = replica;',
  to: 'let commitIndex = replica.commitIndex; while (replica.termAt(commitIndex + 1) !== undefined) commitIndex++;',
};

/** What shows that a page does not hold what the table does. */
const outOfDate = [
  'linearizability',
  'equal hashes',
  'reads show every write',
  'revisions of a record',
  'equal contents',
];

/** Range deletions whose keys are yet to be removed, and entries that are written in parts (A4). */
export const mutants: readonly Mutant[] = [
  {
    name: 'a sweep removes a key that was written after the deletion',
    module: 'table/dist/src/range-deleter.js',
    from: /if \(modRevisionOf\(record\) >= deletion\.revision\)\s+continue;/,
    to: '',
    properties: ['equal hashes', 'linearizability', 'reads show every write', 'equal contents'],
    firstSeed: 5,
  },
  {
    name: 'a reader does not pass over deleted records',
    module: 'table/dist/src/table-view.js',
    from: 'return scanLive({ store: this.#store, snapshot, deletions, swept }, bounds, options);',
    to: 'return scanLive({ store: this.#store, snapshot, deletions: [], swept }, bounds, options);',
    properties: ['linearizability', 'reads show every write'],
    firstSeed: 5,
  },
  {
    name: 'a put to a deleted key goes on from its version',
    module: 'table/dist/src/pending-effects.js',
    from: 'writeRecordHeader(record, revision, revision, 1);',
    to: `const deleted = deletion === undefined ? undefined : stored;
            writeRecordHeader(record, deleted ? createRevisionOf(deleted) : revision, revision, deleted ? versionOf(deleted) + 1 : 1);`,
    properties: ['equal hashes', 'revisions of a record', 'equal contents'],
    firstSeed: 6,
  },
  {
    name: "a block's count is not told of a deletion",
    module: 'table/dist/src/key-blocks.js',
    from: 'if (record === undefined && !wasStored)',
    to: 'if (record === undefined)',
    adjust: 'counting',
    properties: ['counts', 'a block has as many keys as the store'],
    firstSeed: 1,
  },
  {
    name: 'a block is not told of the revisions that are written',
    module: 'table/dist/src/key-blocks.js',
    from: 'this.#revisions = this.#revisions.and(record);',
    to: ';',
    adjust: 'counting',
    properties: ['counts'],
    firstSeed: 1,
  },
  {
    name: 'what is read in the middle of a flush is counted twice',
    module: 'table/dist/src/buffered-store.js',
    from: 'const before = this.#baseSnapshot().hold();',
    to: 'const before = { release: () => undefined };',
    adjust: 'counting',
    properties: ['counts', 'answers', 'a block has as many keys as the store'],
    firstSeed: 4,
  },
  {
    name: 'a count of the past does not see what was deleted since',
    module: 'table/dist/src/history.js',
    from: 'let count = await countScan(new HistoryScan(source, bounds, revision, []), isAwaited);',
    to: 'let count = 0;',
    adjust: 'counting',
    properties: ['counts'],
    firstSeed: 1,
  },
  {
    name: 'a page is not told of what is deleted',
    module: 'table/dist/src/page-cache.js',
    from: 'page.write(id, record && encodePair(keyInLatestKey(storeKey), record));',
    to: 'if (record !== undefined) page.write(id, encodePair(keyInLatestKey(storeKey), record));',
    properties: outOfDate,
    firstSeed: 1,
  },
  {
    name: 'a page is filled without what is written meanwhile',
    module: 'table/dist/src/page-cache.js',
    from: 'fill.writes.set(id, record);',
    to: ';',
    properties: outOfDate,
    firstSeed: 4,
  },
  {
    name: 'a flush skips a key',
    module: 'table/dist/src/buffered-store.js',
    from: 'yield entry;',
    to: "if (entry.storeKey[0] !== LATEST || !entry.id.endsWith('3')) yield entry;",
    properties: ['answers', ...outOfDate],
    firstSeed: 1,
  },
  {
    name: 'a checkpoint is ahead of its flush',
    module: 'table/dist/src/store-writer.js',
    from: 'this.#checkpoint = checkpoint;',
    to: 'this.#checkpoint = { batchNumber: this.#lastBatchNumber, appliedIndex: this.#written.appliedIndex };',
    properties: ['a node runs until it is stopped', 'liveness'],
    firstSeed: 1,
  },
  {
    name: 'a flush forgets the history',
    module: 'table/dist/src/buffered-store.js',
    from: 'if (revision > historyFloor)',
    to: 'if (revision > historyFloor + 5)',
    properties: ['reads show every write', 'reads show what was written', 'equal contents'],
    firstSeed: 5,
  },
  {
    name: 'the removal of history takes what can still be read',
    module: 'table/dist/src/housekeeping.js',
    from: 'historyBlocksFrom(historyFloor + 1)',
    to: 'historyBlocksFrom(historyFloor + 20)',
    properties: ['reads show every write', 'reads show what was written', 'equal contents'],
    firstSeed: 6,
  },
  {
    name: 'a reader sees what is written after it began',
    module: 'table/dist/src/memtable.js',
    from: 'if (entry.number <= heldNumber)',
    to: 'if (false)',
    properties: ['revisions of a record', ...outOfDate, 'reads show what was written'],
    firstSeed: 3,
  },
  {
    name: 'points that are looked up together are read after they were found',
    module: 'table/dist/src/buffered-store.js',
    from: 'return written && { record: written.record };',
    to: 'return written;',
    properties: ['revisions of a record', ...outOfDate, 'reads show what was written'],
    firstSeed: 16,
  },
  {
    name: 'the versions that a sweep removes do not go into the history',
    module: 'table/dist/src/range-deleter.js',
    from: 'block?.add(storeKey, record, deletion.revision);',
    to: '',
    properties: ['reads show every write', 'reads show what was written', 'equal contents'],
    firstSeed: 9,
  },
  {
    name: 'a read of the past passes over what was deleted after it',
    module: 'table/dist/src/table-view.js',
    from: 'deletions: deletionsUpTo(this.state.deletions, this.revision),',
    to: 'deletions: this.state.deletions,',
    properties: ['reads show every write', 'reads show what was written'],
    firstSeed: 18,
  },
  {
    name: 'a key that is written during a sweep is not noted for readers',
    module: 'table/dist/src/pending-effects.js',
    from: 'written?.add(keyInLatestKey(storeKey), id);',
    to: ';',
    properties: ['equal hashes', 'linearizability', 'reads show every write'],
    firstSeed: 5,
  },
  {
    name: 'a Raft snapshot does not say what its receiver must go on to sweep',
    module: 'table/dist/src/snapshot-preamble.js',
    from: '(state.deletions ?? []).map(',
    to: '[].map(',
    properties: ['equal hashes', 'linearizability', 'reads show every write', 'equal contents'],
    firstSeed: 8,
  },
  {
    name: 'the compares of a half-applied entry are made again',
    module: 'table/dist/src/command-applier.js',
    from: 'resumed?.succeeded ?? (await comparesHold(this.#effects, txn.compare))',
    to: 'await comparesHold(this.#effects, txn.compare)',
    properties: ['equal hashes', 'linearizability', 'equal contents'],
    firstSeed: 12,
  },
  {
    name: 'a node reads the registry before the log has ended a half-applied entry of it',
    module: 'node/dist/src/meta/table-directory.js',
    from: /if \(!meta\.isWhole\)\s+return;/,
    to: '',
    properties: ['a node runs until it is stopped'],
    firstSeed: 12,
  },
  {
    name: 'conflict_opt names the last entry, whether it is committed or not',
    ...namesTheLastEntry,
    adjust: 'restlessOverWolf',
    properties: ['conflict_opt names a committed entry'],
    firstSeed: 2,
  },
  {
    name: 'conflict_opt names the last entry, and leaders take it for a match, as those of async-raft do',
    ...namesTheLastEntry,
    more: [
      {
        module: 'wolf/dist/src/peer-calls.js',
        from: 'const below = BigInt(Math.max(prevIndex - 1, 0));',
        to: `if (conflict !== undefined && this.lastIndex() >= Number(conflict.index)) return this.#response(term, Number(conflict.index));
        const below = BigInt(Math.max(prevIndex - 1, 0));`,
      },
      {
        module: 'wolf/dist/src/peer-calls.js',
        from: '#term = 0;',
        to: '#term = 0; lastIndex = () => 0;',
      },
      {
        module: 'node/dist/src/wolf/wolf-member.js',
        from: 'const calls = this.#calls;',
        to: 'const calls = this.#calls; calls.lastIndex = () => replica.raft.lastIndex;',
      },
      // What it leads to is looked for, and not the name itself.
      { module: 'simulator/dist/src/simulation.js', from: 'checkConflict(node, answer);', to: ';' },
    ],
    adjust: 'restlessApartOverWolf',
    properties: [
      'committed on a quorum',
      'leader completeness',
      'state machine safety',
      'log matching',
      'equal hashes',
      'linearizability',
      'reads show every write',
      // The leader waits for no one to whom it believes to have sent everything.
      'liveness',
    ],
    firstSeed: 48,
    steps: 10_000,
  },
  {
    name: 'a member with an empty disk takes part at once, and votes for whoever has nothing either',
    module: 'node/dist/src/wolf/empty-disk.js',
    from: 'refusal(replica) {',
    to: 'refusal(replica) { return undefined;',
    more: [
      {
        module: 'node/dist/src/wolf/empty-disk.js',
        from: 'tick(replica) {',
        to: 'tick(replica) { return undefined;',
      },
      {
        module: 'node/dist/src/wolf/wolf.js',
        from: 'if (!this.#emptyDisk.isGroupEmpty)',
        to: 'if (received.message.lastIndex > 0)',
      },
    ],
    adjust: 'restlessApartOverWolf',
    properties: [
      'one vote in a term',
      'committed on a quorum',
      'leader completeness',
      'state machine safety',
      'election safety',
    ],
    steps: 1_500,
    firstSeed: 33,
  },
  {
    name: 'a leader answers reads without asking a quorum',
    module: 'raft/dist/src/raft.js',
    from: 'this.#leadership.readIndex(context, this.id);',
    to: 'this.#reads.push({ context, index: this.commitIndex });',
    adjust: 'restlessApart',
    properties: ['no stale answer'],
    steps: 8_000,
    firstSeed: 43,
  },
  {
    name: 'a leader commits an entry of an old term by counting',
    module: 'raft/dist/src/leadership.js',
    from: /if \(index < this\.#firstIndexInTerm\)\s+return;/,
    to: '',
    more: [
      {
        module: 'raft/dist/src/leadership.js',
        from: 'if (!hadCommittedInTerm)',
        to: 'if (!hadCommittedInTerm && this.hasCommittedInTerm)',
      },
    ],
    adjust: 'slowSyncs',
    properties: ['a leader commits by counting only in its own term'],
    steps: 8_000,
    firstSeed: 5,
  },
  {
    name: 'leadership is handed over to a node that lacks entries, and nobody compares logs',
    module: 'raft/dist/src/raft.js',
    from: 'return this.#leadership?.transferTo(target) ?? false;',
    to: `if (!this.#leadership?.transferTo(target)) return false;
        this.#messages.push({ type: 'timeoutNow', from: this.id, to: target, term: this.term });
        return true;`,
    more: [
      {
        module: 'raft/dist/src/raft.js',
        from: 'return this.#log.isCoveredBy({ index: message.lastIndex',
        to: "return (message.type === 'vote' && message.isTransfer) || this.#log.isCoveredBy({ index: message.lastIndex",
      },
    ],
    adjust: 'handingOver',
    properties: ['leader completeness', 'committed on a quorum', 'state machine safety'],
    steps: 8_000,
    firstSeed: 6,
  },
];
