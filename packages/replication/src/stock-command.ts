import type { TableLog } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { peekCommand } from './replicate-message.js';

const { DUMMY, TXN, SEQUENCE, GC } = mvcc.Command_CommandType;
const isStock = ({ target }: mvcc.Compare): boolean => target === mvcc.Compare_CompareTarget.VALUE;

/**
 * Returns the command of the log at `index` in a form that stock followers execute with the same effect (R3). A stock
 * follower takes a compare on a revision or a version for an existence test, and a cluster that replays a command has
 * other revisions, so both might take the other branch. The returned command has each Txn with a compare of this kind
 * replaced by one without compares that does what was done here. Undefined when the outcome is no longer recorded. A
 * GC, which only Armada knows and which has no effect here, becomes a DUMMY (A8).
 */
export async function toStockCommand(
  command: Buffer,
  index: number,
  table: Pick<TableLog['table'], 'txnOutcome'>,
): Promise<Buffer | undefined> {
  const { type } = peekCommand(command);
  if (type !== TXN && type !== SEQUENCE && type !== GC) return command;
  const decoded = mvcc.Command.decode(command);
  const parts = type === SEQUENCE ? decoded.sequence : [decoded];
  let isChanged = false;
  for (const [place, part] of parts.entries()) {
    if (part.type === GC) {
      part.type = DUMMY;
      isChanged = true;
    }
    const { txn } = part;
    if (part.type !== TXN || txn === undefined || txn.compare.every(isStock)) continue;
    const succeeded = await table.txnOutcome(index, place);
    if (succeeded === undefined) return undefined;
    part.txn = { compare: [], success: succeeded ? txn.success : txn.failure, failure: [] };
    isChanged = true;
  }
  return isChanged ? Buffer.from(mvcc.Command.encode(decoded).finish()) : command;
}
