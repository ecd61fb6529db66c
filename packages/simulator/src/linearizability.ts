/** A register's content; undefined when the key does not exist. */
export type RegisterValue = string | undefined;

/** The effect of one operation on one register, as its client saw it. */
export type RegisterEffect =
  | { readonly kind: 'read'; readonly observed: RegisterValue }
  /** `previous` is set only when the client learnt which value the write replaced. */
  | { readonly kind: 'write'; readonly value: RegisterValue; readonly previous?: { value: RegisterValue } }
  | {
      readonly kind: 'compareAndSet';
      readonly expected: RegisterValue;
      readonly value: RegisterValue;
      /** True when the write happened; undefined when the client does not know. */
      readonly succeeded: boolean | undefined;
    };

export interface RegisterOperation {
  readonly effect: RegisterEffect;
  /** The times of the call and of its answer. Only their order matters. */
  readonly invokedAt: number;
  /** Infinity when the operation was never answered: it may take effect at any later time, or never. */
  readonly returnedAt: number;
}

export type LinearizabilityVerdict = 'linearizable' | 'violated' | 'undecided';

/** Returns the register's content after the operation, or `impossible` when the client cannot have seen that result. */
function apply(state: RegisterValue, effect: RegisterEffect): { state: RegisterValue } | 'impossible' {
  switch (effect.kind) {
    case 'read':
      return effect.observed === state ? { state } : 'impossible';
    case 'write':
      if (effect.previous !== undefined && effect.previous.value !== state) return 'impossible';
      return { state: effect.value };
    case 'compareAndSet': {
      const succeeds = state === effect.expected;
      if (effect.succeeded !== undefined && effect.succeeded !== succeeds) return 'impossible';
      return { state: succeeds ? effect.value : state };
    }
  }
}

/** Whether the outcome of an operation shows, or depends on it, that the register held `value`. */
function sees(effect: RegisterEffect, value: RegisterValue): boolean {
  switch (effect.kind) {
    case 'read':
      return effect.observed === value;
    case 'write':
      return effect.previous !== undefined && effect.previous.value === value;
    case 'compareAndSet':
      return (effect.expected === value) === (effect.succeeded ?? true);
  }
}

/** A state of the search: the operations that have taken effect, and the register's content after them. */
interface Frame {
  /** Every answered operation below this index has taken effect. */
  readonly low: number;
  /** The indices above `low` of other answered operations that have taken effect, ascending. */
  readonly ahead: readonly number[];
  /** The unanswered operations that have taken effect, ascending. */
  readonly used: readonly number[];
  readonly value: RegisterValue;
  /** Successors that were not tried yet, the last one first. */
  readonly untried: Frame[];
}

/**
 * Searches for an order of the operations that a register would have allowed, in which no operation comes before one
 * that had returned when it was invoked (Herlihy and Wing 1990). It is a depth-first search over such orders (Wing and
 * Gong 1993) that never visits the same set of finished operations with the same value twice (Lowe 2017).
 * Linearizability is local, so histories are checked one key at a time.
 *
 * It tries answered operations before unanswered ones: most of the latter never happened, and each one that is tried
 * early doubles the search. Returns `undecided` after `statesMax` states.
 */
export function checkLinearizable(
  operations: readonly RegisterOperation[],
  statesMax = 500_000,
): LinearizabilityVerdict {
  const byInvocation = [...operations].sort((a, b) => a.invokedAt - b.invokedAt);
  const answered = byInvocation.filter((operation) => operation.returnedAt !== Number.POSITIVE_INFINITY);
  // A read without an answer gives no information.
  const unanswered = byInvocation.filter(
    (operation) => operation.returnedAt === Number.POSITIVE_INFINITY && operation.effect.kind !== 'read',
  );

  const expand = (
    low: number,
    ahead: readonly number[],
    used: readonly number[],
    value: RegisterValue,
  ): Frame => {
    const frame: Frame = { low, ahead, used, value, untried: [] };
    // The next operation is one that was invoked before any other one returned.
    let firstReturn = Number.POSITIVE_INFINITY;
    const candidates: number[] = [];
    for (let i = low; i < answered.length && answered[i]!.invokedAt <= firstReturn; i++) {
      if (ahead.includes(i)) continue;
      candidates.push(i);
      firstReturn = Math.min(firstReturn, answered[i]!.returnedAt);
    }
    const possible = candidates.filter((i) => answered[i]!.invokedAt <= firstReturn);
    const tried = new Set<string>();
    for (let i = 0; i < unanswered.length && unanswered[i]!.invokedAt <= firstReturn; i++) {
      if (used.includes(i)) continue;
      const { effect } = unanswered[i]!;
      const next = apply(value, effect);
      // One that changes nothing need not have happened.
      if (next === 'impossible' || next.state === value) continue;
      // Of those with the same effect the oldest stands for all, since from now on they are interchangeable.
      const description = JSON.stringify(effect);
      if (tried.has(description)) continue;
      tried.add(description);
      // A value that is overwritten unseen need not have been written either.
      const isSeen =
        possible.some((j) => sees(answered[j]!.effect, next.state)) ||
        unanswered.some((other, j) => j !== i && !used.includes(j) && sees(other.effect, next.state));
      if (!isSeen) continue;
      frame.untried.push({
        low,
        ahead,
        used: [...used, i].sort((a, b) => a - b),
        value: next.state,
        untried: [],
      });
    }
    for (const i of possible.reverse()) {
      const next = apply(value, answered[i]!.effect);
      if (next === 'impossible') continue;
      const finished = [...ahead, i].sort((a, b) => a - b);
      let newLow = low;
      while (finished[0] === newLow) {
        finished.shift();
        newLow += 1;
      }
      frame.untried.push({ low: newLow, ahead: finished, used, value: next.state, untried: [] });
    }
    return frame;
  };

  const visited = new Set<string>();
  const stack = [expand(0, [], [], undefined)];
  for (;;) {
    const top = stack.at(-1);
    if (top === undefined) return 'violated';
    if (top.low === answered.length) return 'linearizable';
    const next = top.untried.pop();
    if (next === undefined) {
      stack.pop();
      continue;
    }
    const key = `${next.low}|${next.ahead.join()}|${next.used.join()}|${next.value ?? '\0'}`;
    if (visited.has(key)) continue;
    visited.add(key);
    if (visited.size > statesMax) return 'undecided';
    stack.push(expand(next.low, next.ahead, next.used, next.value));
  }
}
