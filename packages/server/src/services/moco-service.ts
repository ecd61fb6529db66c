import type { BinlogBackups, Clones } from '@coxswain/agents';
import { moco } from '@coxswain/protocol';
import { type Method, unary } from '../grpc/call.js';

/** Where the caller said nothing: a clone waits for the donor and for every member, flushing for the store. */
const DEADLINE_MS = 60_000;

/** CloneService and BackupBinlogService of moco-agent (docs/operations-protocols.md §2). */
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
