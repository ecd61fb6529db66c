import type { NodeId } from '@coxswain/raft';
import type { Clock, Timer } from '@coxswain/runtime';
import type { Answer, Ask } from './frame.js';
import type { Peers } from './peers.js';

/** The limit of a question and of an answer, in bytes; a longer one is not sent. */
const BODY_BYTES_MAX = 1024 * 1024;
/** The limit of the questions under way; a further one is not sent, and gets no answers. */
const QUESTIONS_MAX = 1_000;

/** Answers a question of the same service on another member. The node does not look into the bytes. */
export type Answerer = (question: Buffer) => Buffer;

interface Question {
  readonly waitingFor: Set<NodeId>;
  readonly answers: Map<NodeId, Buffer>;
  readonly finish: () => void;
}

/**
 * Carries questions between the members, outside of every group. The answers serve people and figures, and no decision
 * may rest on them. A question or answer that is lost is not repeated.
 */
export class MemberQuestions {
  readonly #peers: Peers;
  readonly #clock: Clock;
  readonly #answerers = new Map<string, Answerer>();
  readonly #questions = new Map<number, Question>();
  #lastId = 0;

  constructor(peers: Peers, clock: Clock) {
    this.#peers = peers;
    this.#clock = clock;
  }

  /** Makes `answerer` answer the questions of a topic from now on. */
  answer(topic: string, answerer: Answerer): void {
    this.#answerers.set(topic, answerer);
  }

  /**
   * Asks every connected member. Resolves with the answers by member, when all have answered or after `waitMs`
   * milliseconds.
   */
  async ask(topic: string, question: Buffer, waitMs: number): Promise<ReadonlyMap<NodeId, Buffer>> {
    const asked = [...this.#peers.ids].filter((id) => this.#peers.isConnected(id));
    const answers = new Map<NodeId, Buffer>();
    if (asked.length === 0 || question.length > BODY_BYTES_MAX) return answers;
    if (this.#questions.size >= QUESTIONS_MAX) return answers;
    const id = ++this.#lastId;
    await new Promise<void>((resolve) => {
      let timer: Timer | undefined;
      const finish = (): void => {
        timer?.cancel();
        this.#questions.delete(id);
        resolve();
      };
      this.#questions.set(id, { waitingFor: new Set(asked), answers, finish });
      for (const member of asked) this.#peers.frameTo(member).ask({ id, topic, body: question });
      this.#peers.flush();
      timer = this.#clock.startTimer(waitMs, finish);
    });
    return answers;
  }

  /**
   * Called with a member's question. When nobody answers the topic, sends an empty answer, so that the member does not
   * wait.
   */
  onAsk(from: NodeId, { id, topic, body }: Ask): void {
    const answer = this.#answerers.get(topic)?.(body) ?? Buffer.alloc(0);
    this.#peers.frameTo(from).answer({
      id,
      body: answer.length > BODY_BYTES_MAX ? Buffer.alloc(0) : answer,
    });
    this.#peers.flush();
  }

  /** Called with a member's answer to a question of this node. */
  onAnswer(from: NodeId, { id, body }: Answer): void {
    const question = this.#questions.get(id);
    // The answer is too late, or answers nothing that was asked.
    if (!question?.waitingFor.delete(from)) return;
    if (body.length > 0) question.answers.set(from, Buffer.from(body));
    if (question.waitingFor.size === 0) question.finish();
  }
}
