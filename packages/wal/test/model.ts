import type { Entry, HardState, SnapshotMetadata } from '@coxswain/raft';
import type { GroupWrite } from '../src/types.js';
import type { Wal } from '../src/wal.js';
import { entry, hardState, MEMBERSHIP } from './support.js';

interface ModelGroup {
  hardState: HardState;
  truncated: SnapshotMetadata;
  /** Short forms: states are made often. */
  entries: string[];
}

/** A drawn intention; what it becomes depends on the state it meets. */
export interface Intention {
  readonly group: number;
  readonly kind: 'append' | 'overwrite' | 'compact' | 'vote' | 'reset' | 'remove';
  /** In [0, 1): where. */
  readonly where: number;
  readonly count: number;
  readonly dataBytes: number;
}

/**
 * What the log must hold, after every record that was submitted: a crash may bring back the state after any record
 * that was not acknowledged, and nothing else.
 */
export class Model {
  #groups = new Map<number, ModelGroup>();
  #unique = 0;
  /** The content after each record. */
  readonly states: string[] = [this.#content()];

  /** Makes a write out of an intention, and follows it. */
  write(intention: Intention): GroupWrite {
    const { group, kind, where, count, dataBytes } = intention;
    const state = this.#groups.get(group);
    if (state === undefined || kind === 'reset') {
      const last = state === undefined ? 0 : state.truncated.index + state.entries.length;
      const to = { index: last + Math.floor(where * 10), term: this.#unique++, membership: MEMBERSHIP };
      this.#groups.set(group, { hardState: state?.hardState ?? hardState(0), truncated: to, entries: [] });
      this.#record();
      return { group, reset: to };
    }
    const first = state.truncated.index + 1;
    if (kind === 'append' || kind === 'overwrite') {
      const kept = kind === 'append' ? state.entries.length : Math.floor(where * (state.entries.length + 1));
      const term = this.#unique++;
      state.hardState = hardState(term, 1, 0);
      this.#record();
      const entries: Entry[] = [];
      for (let i = 0; i < count; i++) {
        const made = entry(first + kept + i, term, `${this.#unique++}`.padEnd(dataBytes, '.'));
        entries.push(made);
        state.entries.length = kept + i;
        state.entries.push(shortForm(made));
        this.#record();
      }
      return { group, hardState: state.hardState, entries };
    }
    if (kind === 'compact') {
      const dropped = Math.ceil(where * state.entries.length);
      const at = state.entries[dropped - 1];
      if (at !== undefined) {
        const [index, term] = at.split('/').map(Number);
        state.truncated = { index: index!, term: term!, membership: MEMBERSHIP };
        state.entries.splice(0, dropped);
      }
      this.#record();
      return { group, compact: state.truncated };
    }
    if (kind === 'remove') {
      this.#groups.delete(group);
      this.#record();
      return { group, remove: true };
    }
    state.hardState = hardState(this.#unique++, count, 0);
    this.#record();
    return { group, hardState: state.hardState };
  }

  /** Goes on from the state that was found after a crash. */
  rewind(state: string): void {
    this.#groups = new Map();
    for (const { group, entries, ...rest } of JSON.parse(state)) {
      this.#groups.set(group, { ...rest, entries: entries === '' ? [] : entries.split(' ') });
    }
    this.states.length = 0;
    this.#record();
  }

  #record(): void {
    this.states.push(this.#content());
  }

  #content(): string {
    const groups = [...this.#groups].sort(([a], [b]) => a - b);
    return JSON.stringify(
      groups.map(([group, state]) => ({ group, ...state, entries: state.entries.join(' ') })),
    );
  }
}

/** The content of a log in the form of the model's states. */
export function stateOf(wal: Wal): string {
  const groups = [...wal.groups()].sort((a, b) => a.group - b.group);
  return JSON.stringify(
    groups.map((log) => {
      const entries = log.entries(log.firstIndex(), log.lastIndex() + 1, Number.MAX_SAFE_INTEGER);
      return {
        group: log.group,
        hardState: log.hardState,
        truncated: log.truncated,
        entries: entries.map(shortForm).join(' '),
      };
    }),
  );
}

/** Index, term, the data's unique beginning and its length. */
function shortForm({ index, term, data }: Entry): string {
  const text = data.toString('latin1');
  const unique = text.replace(/\.*$/, '');
  return `${index}/${term}/${unique}/${data.length}`;
}
