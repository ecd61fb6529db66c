import type { ArchiveRestores } from '@coxswain/archive';
import type { Backups, Restores } from '@coxswain/backup';
import { ApiError, errors, type NodeParts, Status } from '@coxswain/node';
import { maintenance } from '@coxswain/protocol';
import { type CallContext, type Method, stream, unary, upload } from '../grpc/call.js';

/** The time in milliseconds that copying tables may take when the caller set no deadline (docs/protocol.md §3). */
const COPY_DEADLINE_MS = 3_600_000;

/** The parts of the node that the service uses; `Node` implements them. */
type MaintenanceNode = Pick<NodeParts, 'cluster' | 'follower' | 'maintenance'>;

/** Serves maintenance.v1.Maintenance: reset and promote on follower clusters, the rest on leader clusters. */
export class MaintenanceService {
  readonly #node: MaintenanceNode;
  readonly #backups: Backups;
  readonly #restores: Restores;
  readonly #archiveRestores: ArchiveRestores;

  constructor(node: MaintenanceNode, backups: Backups, restores: Restores, archiveRestores: ArchiveRestores) {
    this.#node = node;
    this.#backups = backups;
    this.#restores = restores;
    this.#archiveRestores = archiveRestores;
  }

  /**
   * Makes the cluster take a table, or every table, anew from the leader cluster. Answers when that is certain to
   * happen, whatever fails; the old data is served until then. Errors: notForLeader, tableNotSet,
   * tableToMaintainNotFound, and those of a proposal.
   */
  async reset(request: maintenance.ResetRequest, call: CallContext): Promise<maintenance.ResetResponse> {
    if (this.#node.cluster.role !== 'follower') throw errors.notForLeader('Reset');
    if (!request.resetAll && request.table.length === 0) throw errors.tableNotSet();
    try {
      await this.#node.follower.requestReset(request.resetAll ? undefined : request.table.toString(), call);
    } catch (error) {
      if (error instanceof ApiError && error.status === Status.NotFound)
        throw errors.tableToMaintainNotFound();
      throw error;
    }
    return {};
  }

  /**
   * Turns the follower cluster into a leader cluster, for good (R5). Answers when the cluster accepts writes of its
   * own. The promotion continues when the call ends early; another call waits for it again. Errors: notReady,
   * isLeaderCluster, timeout.
   */
  async promote(
    _request: maintenance.PromoteRequest,
    call: CallContext,
  ): Promise<maintenance.PromoteResponse> {
    const { role } = this.#node.cluster;
    if (role === undefined) throw errors.notReady();
    if (role === 'leader') throw errors.isLeaderCluster();
    await this.#node.follower.beginPromotion(call);
    await this.#promoted(call);
    return {};
  }

  /**
   * Makes the cluster serve the tables that a failed clone has brought (docs/operations-protocols.md §2). Errors:
   * notForThisRole, cloneRunning, and those of a proposal.
   */
  async forgetClone(
    _request: maintenance.ForgetCloneRequest,
    call: CallContext,
  ): Promise<maintenance.ForgetCloneResponse> {
    if (this.#node.cluster.role !== 'leader') throw errors.notForThisRole('ForgetClone');
    const clone = await this.#node.maintenance.clone.forget(call);
    return { donor: clone?.donor ?? '', error: clone?.error ?? '' };
  }

  #promoted(call: CallContext): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#node.cluster.role !== 'leader' && !call.isEnded) return;
        leave();
        call.signal.removeEventListener('abort', look);
        resolve();
      };
      const leave = this.#node.cluster.onChange(look);
      call.signal.addEventListener('abort', look);
      look();
    });
  }

  methods(): readonly Method[] {
    const { backup, restore, reset, promote, restoreArchive, forgetClone } = maintenance.MaintenanceService;
    const copying = { deadlineMs: COPY_DEADLINE_MS, isCutAtDeadline: true } as const;
    return [
      stream(backup, (request, call) => this.#backups.backup(request, call), copying),
      upload(restore, (messages, call) => this.#restores.restore(messages, call), copying),
      stream(restoreArchive, (request, call) => this.#archiveRestores.restore(request, call), copying),
      unary(reset, (request, call) => this.reset(request, call)),
      unary(promote, (request, call) => this.promote(request, call), { deadlineMs: COPY_DEADLINE_MS }),
      unary(forgetClone, (request, call) => this.forgetClone(request, call)),
    ];
  }
}
