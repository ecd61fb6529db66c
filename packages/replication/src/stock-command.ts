import type { TableLog } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { peekCommand } from './replicate-message.js';

const { DUMMY, TXN, SEQUENCE, GC } = mvcc.Command_CommandType;
const isStock = ({ target }: mvcc.Compare): boolean => target === mvcc.Compare_CompareTarget.VALUE;

/**
 * R3: a stock follower takes a compare on a revision or a version for an existence test, and a follower that runs a
 * command again has other revisions: both might go the other way. Returns the command, which the log holds at `index`,
 * with each such Txn replaced by one without compares that has the same effect as it had here. Returns undefined where
 * that is not recorded any more. A GC, which only Armada knows and which has no effect here, goes out as a DUMMY (A8).
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
