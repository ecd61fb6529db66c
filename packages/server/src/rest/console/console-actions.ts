import type { TidbBinlog } from '@coxswain/agents';
import type { ActionAnswer } from '@coxswain/console';
import { errors, type NodeParts } from '@coxswain/node';
import type { Clock } from '@coxswain/runtime';
import { consoleErrors } from './console-errors.js';
import type { LeadershipTransfers } from './leadership-transfers.js';
import type { RequestBody } from './request-body.js';

/** Tables are made and deleted by a quorum, which may have to open files. */
const TABLE_MS = 30_000;
const ID_MAX = Number.MAX_SAFE_INTEGER;

export interface ConsoleActionsOptions {
  readonly node: Pick<NodeParts, 'cluster' | 'reports' | 'tables'>;
  readonly binlog: Pick<TidbBinlog, 'applyAction' | 'collectGarbage' | 'nodeIdOf'>;
  readonly transfers: LeadershipTransfers;
  readonly clock: Clock;
}

/** What operators can have done from the console. Each answers, when it is done, with what was done. */
export class ConsoleActions {
  readonly #options: ConsoleActionsOptions;

  constructor(options: ConsoleActionsOptions) {
    this.#options = options;
  }

  /** Pauses or resumes the replication of a member (docs/operations-protocols.md §3). Errors: memberUnknown, actionRefused. */
  async changeState(action: 'pause' | 'resume', body: RequestBody): Promise<ActionAnswer> {
    const { node, binlog } = this.#options;
    const member = body.count('member', 1, ID_MAX);
    const nodeId = binlog.nodeIdOf(member);
    if (nodeId === undefined) throw consoleErrors.memberUnknown(member);
    const { code, message } = await binlog.applyAction(nodeId, action);
    if (code !== 200) throw consoleErrors.actionRefused(message);
    const what =
      node.cluster.role === 'leader' ? 'gives follower clusters its logs' : 'takes from the leader cluster';
    return {
      message:
        action === 'pause'
          ? `${nodeId} is pausing: no longer it ${what}, until it is resumed.`
          : `${nodeId} is online: it ${what} again.`,
    };
  }

  /** Drops what nobody needs of this node's logs. */
  async collectGarbage(): Promise<ActionAnswer> {
    const [first = '', freed = ''] = (await this.#options.binlog.collectGarbage()).split('\n');
    if (freed === '') throw consoleErrors.actionRefused(`${first}: wait until it is done`);
    return { message: `The logs of this node were compacted: ${freed}.` };
  }

  /** Hands a table over. Errors: those of `LeadershipTransfers.transfer`. */
  async transfer(body: RequestBody): Promise<ActionAnswer> {
    const table = body.text('table');
    const member = body.count('member', 1, ID_MAX);
    const before = await this.#options.transfers.transfer(table, member);
    const message =
      before === member
        ? `Node ${member} leads table ${table} already.`
        : `Node ${member} leads table ${table} now; node ${before} did before.`;
    return { message };
  }

  /** Errors: those of Tables.Create. */
  async createTable(body: RequestBody): Promise<ActionAnswer> {
    const { node } = this.#options;
    const name = body.text('table');
    if (node.cluster.role === 'follower') throw errors.notForFollower('Create');
    if (name === '') throw errors.nameNotSet();
    await node.tables.create(name, undefined, this.#call());
    return { message: `Table ${name} was created.` };
  }

  /** Errors: those of Tables.Delete. */
  async deleteTable(body: RequestBody): Promise<ActionAnswer> {
    const { node } = this.#options;
    const name = body.text('table');
    if (node.cluster.role === 'follower') throw errors.notForFollower('Delete');
    if (name === '') throw errors.nameNotSet();
    await node.tables.delete(name, this.#call());
    return { message: `Table ${name} was deleted, with all of its keys.` };
  }

  #call(): { deadlineMs: number } {
    return { deadlineMs: this.#options.clock.monotonicMs() + TABLE_MS };
  }
}
