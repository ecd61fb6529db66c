import { mvcc } from '@coxswain/protocol';

const { PUT, DELETE, DUMMY, PUT_BATCH, DELETE_BATCH, TXN, SEQUENCE, GC } = mvcc.Command_CommandType;
const { EQUAL, GREATER, LESS, NOT_EQUAL } = mvcc.Compare_CompareResult;

/** The state machine of a table of stock Regatta's: keys and values, and nothing else (docs/protocol.md §2). */
export class StockTable {
  /** The values, by keys as Latin-1 strings, which sort as their bytes do. */
  readonly pairs = new Map<string, Buffer>();

  apply(command: mvcc.Command): void {
    const { type, kv, batch, rangeEnd, txn, sequence } = command;
    switch (type) {
      case PUT:
        this.#put(kv!.key, kv!.value);
        break;
      case DELETE:
        this.#delete(kv!.key, rangeEnd ?? Buffer.alloc(0));
        break;
      case PUT_BATCH:
        for (const pair of batch) this.#put(pair.key, pair.value);
        break;
      case DELETE_BATCH:
        for (const pair of batch) this.#delete(pair.key, Buffer.alloc(0));
        break;
      case TXN:
        this.#txn(txn!);
        break;
      case SEQUENCE:
        for (const each of sequence) this.apply(each);
        break;
      case DUMMY:
      // It removes tombstones, which this one does not keep.
      case GC:
        break;
      default:
        throw new Error(`a command of type ${type}, which nobody knew`);
    }
  }

  /** Every pair, sorted by key. */
  content(): string[] {
    return [...this.pairs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}=${value}`);
  }

  #txn({ compare, success, failure }: mvcc.Txn): void {
    const operations = compare.every((each) => this.#holds(each)) ? success : failure;
    for (const { request } of operations) {
      if (request?.$case === 'requestPut') this.#put(request.value.key, request.value.value);
      else if (request?.$case === 'requestDeleteRange')
        this.#delete(request.value.key, request.value.rangeEnd);
    }
  }

  /** Of targets it knows only VALUE, whatever `target` says; without `value` it is a test of existence. */
  #holds({ key, rangeEnd, result, targetUnion }: mvcc.Compare): boolean {
    const keys = this.#keysIn(key, rangeEnd);
    if (keys.length === 0) return false;
    if (targetUnion?.$case !== 'value') return true;
    const { value } = targetUnion;
    return keys.every((each) => {
      const order = Buffer.compare(this.pairs.get(each)!, value);
      switch (result) {
        case EQUAL:
          return order === 0;
        case GREATER:
          return order > 0;
        case LESS:
          return order < 0;
        case NOT_EQUAL:
          return order !== 0;
        default:
          throw new Error(`an operator ${result}, which nobody knew`);
      }
    });
  }

  #put(key: Buffer, value: Buffer): void {
    this.pairs.set(key.toString('latin1'), Buffer.from(value));
  }

  #delete(key: Buffer, rangeEnd: Buffer): void {
    for (const each of this.#keysIn(key, rangeEnd)) this.pairs.delete(each);
  }

  #keysIn(key: Buffer, rangeEnd: Buffer): string[] {
    const first = key.toString('latin1');
    if (rangeEnd.length === 0) return this.pairs.has(first) ? [first] : [];
    const end = rangeEnd.toString('latin1');
    return [...this.pairs.keys()].filter((each) => each >= first && (end === '\0' || each < end));
  }
}
