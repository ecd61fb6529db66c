import type { NodeId } from '@coxswain/raft';
import type { Clock, Timer } from '@coxswain/runtime';
import type { Answer, Ask } from './frame.js';
import type { Peers } from './peers.js';

/** A question or an answer is at most so long; a longer one is not sent. */
const BODY_BYTES_MAX = 1024 * 1024;
/** Questions under way; a further one is answered by nobody. */
const QUESTIONS_MAX = 1_000;

/** What a service above the node knows, for the same service of another member: bytes that the node does not look into. */
export type Answerer = (question: Buffer) => Buffer;

interface Question {
  readonly waitingFor: Set<NodeId>;
  readonly answers: Map<NodeId, Buffer>;
  readonly finish: () => void;
}

/**
 * Questions between the members, outside of every group: answers are of use for people and for figures, and nothing
 * that is decided may rest on it. A question or answer that is lost is not repeated.
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

  /** Answers the questions of a topic from now on. */
  answer(topic: string, answerer: Answerer): void {
    this.#answerers.set(topic, answerer);
  }

  /** Asks every connected member. Resolves when all have answered, or with those that have after `waitMs`. */
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

  /** A member asks. Where nobody answers the topic, the answer is empty, so that it does not wait. */
  onAsk(from: NodeId, { id, topic, body }: Ask): void {
    const answer = this.#answerers.get(topic)?.(body) ?? Buffer.alloc(0);
    this.#peers.frameTo(from).answer({
      id,
      body: answer.length > BODY_BYTES_MAX ? Buffer.alloc(0) : answer,
    });
    this.#peers.flush();
  }

  onAnswer(from: NodeId, { id, body }: Answer): void {
    const question = this.#questions.get(id);
    // Too late, or nothing that was asked.
    if (!question?.waitingFor.delete(from)) return;
    if (body.length > 0) question.answers.set(from, Buffer.from(body));
    if (question.waitingFor.size === 0) question.finish();
  }
}
