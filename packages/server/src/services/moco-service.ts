import type { BinlogBackups, Clones } from '@coxswain/agents';
import { moco } from '@coxswain/protocol';
import { type Method, unary } from '../grpc/call.js';

/**
 * The time in milliseconds that a call may take when the caller set no deadline: a clone waits for the donor and for
 * every member, a flush for the store.
 */
const DEADLINE_MS = 60_000;

/** Returns the methods of moco-agent's CloneService and BackupBinlogService (docs/operations-protocols.md §2). */
export function mocoMethods(clones: Clones, backups: BinlogBackups): readonly Method[] {
  const { clone } = moco.CloneServiceService;
  const { flushBinlog, flushAndBackupBinlog } = moco.BackupBinlogServiceService;
  return [
    unary(
      clone,
      async (request, call) => {
        const token = call.metadata('authorization')?.replace(/^bearer +/i, '') ?? '';
        await clones.begin(request, token, call);
        return {};
      },
      { deadlineMs: DEADLINE_MS },
    ),
    unary(
      flushBinlog,
      async (request, call) => {
        await backups.flush(request, call);
        return {};
      },
      { deadlineMs: DEADLINE_MS },
    ),
    unary(flushAndBackupBinlog, async (request, call) => {
      await backups.begin(request, call);
      return {};
    }),
  ];
}
