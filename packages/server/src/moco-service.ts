import type { BinlogBackups, Clones } from '@coxswain/maintenance';
import { moco } from '@coxswain/protocol';
import { type Method, unary } from './call.js';

/** Where the caller said nothing: flushing waits for the store. */
const flushDeadlineMs = 60_000;

/** CloneService and BackupBinlogService of moco-agent (operations-protocols.md §2). */
export function mocoMethods(clones: Clones, backups: BinlogBackups): readonly Method[] {
  const { clone } = moco.CloneServiceService;
  const { flushBinlog, flushAndBackupBinlog } = moco.BackupBinlogServiceService;
  return [
    unary(clone, async (request, call) => {
      const token = call.metadata('authorization')?.replace(/^bearer +/i, '') ?? '';
      await clones.begin(request, token, call);
      return {};
    }),
    unary(
      flushBinlog,
      async (request, call) => {
        await backups.flush(request, call);
        return {};
      },
      { deadlineMs: flushDeadlineMs },
    ),
    unary(flushAndBackupBinlog, async (request, call) => {
      await backups.begin(request, call);
      return {};
    }),
  ];
}
