import { errors, type Node } from '@coxswain/node';
import { type Clock, pause } from '@coxswain/runtime';
import { consoleErrors } from './console-errors.js';

/** The topic under which a member asks whoever leads a group to hand it over. */
const TOPIC = 'transfer-leadership';
/** Milliseconds within which members must answer. */
const ASK_MS = 1_000;
/** Milliseconds within which the other member must lead. */
const TAKE_OVER_MS = 5_000;
const LOOK_MS = 20;
const begun = Buffer.from('begun');
const nothing = Buffer.alloc(0);

interface Question {
  readonly shardId: number;
  readonly member: number;
}

type TransferringNode = Pick<Node, 'cluster' | 'reports' | 'transferLeadership'>;

/** Hands the groups of tables over to members that an operator chooses (thesis 3.10), whichever member leads them. */
export class LeadershipTransfers {
  readonly #node: TransferringNode;
  readonly #clock: Clock;

  constructor(node: TransferringNode, clock: Clock) {
    this.#node = node;
    this.#clock = clock;
    node.cluster.answerMembers(TOPIC, (bytes) => {
      const question = parseQuestion(bytes);
      return question !== undefined && node.transferLeadership(question.shardId, question.member)
        ? begun
        : nothing;
    });
  }

  /**
   * Resolves with the id of the member that led the table's group before, once `member` leads it. Errors: memberUnknown,
   * tableNotFound, actionRefused.
   */
  async transfer(table: string, member: number): Promise<number> {
    const { members } = this.#node.reports.status();
    if (!members.some(({ id }) => id === member)) throw consoleErrors.memberUnknown(member);
    const { shardId, leader } = this.#replica(table);
    if (leader === member) return leader;
    if (leader === 0)
      throw consoleErrors.actionRefused(`table ${table} has no leader that could hand it over`);
    if (!(await this.#begin({ shardId, member })))
      throw consoleErrors.actionRefused(
        `nothing was begun: node ${leader}, which leads table ${table}, does not answer, or leads it no more`,
      );
    const deadlineMs = this.#clock.monotonicMs() + TAKE_OVER_MS;
    while (this.#clock.monotonicMs() < deadlineMs) {
      if (this.#replica(table).leader === member) return leader;
      await pause(this.#clock, LOOK_MS, new AbortController().signal);
    }
    throw consoleErrors.actionRefused(
      `node ${member} has not taken over table ${table} within ${TAKE_OVER_MS / 1000} s: it may lag, or not answer; node ${this.#replica(table).leader} leads`,
    );
  }

  async #begin(question: Question): Promise<boolean> {
    if (this.#node.transferLeadership(question.shardId, question.member)) return true;
    const bytes = Buffer.from(JSON.stringify(question));
    const answers = await this.#node.cluster.askMembers(TOPIC, bytes, ASK_MS);
    return [...answers.values()].some((answer) => answer.equals(begun));
  }

  #replica(table: string): { readonly shardId: number; readonly leader: number } {
    const found = this.#node.reports.status().tables.find(({ name }) => name === table);
    if (found === undefined) throw errors.tableNotFound();
    return found;
  }
}

function parseQuestion(bytes: Buffer): Question | undefined {
  try {
    const { shardId, member } = JSON.parse(bytes.toString()) as Partial<Question>;
    return typeof shardId === 'number' && typeof member === 'number' ? { shardId, member } : undefined;
  } catch {
    return undefined;
  }
}
