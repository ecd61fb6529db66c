import type { MemberVitals } from '@coxswain/console';
import type { NodeParts } from '@coxswain/node';

/** The topic under which members ask each other how they are. */
const TOPIC = 'console-vitals';
/** Members are asked so often, while somebody looks. */
const ASK_INTERVAL_MS = 2_000;
/** Milliseconds within which members must answer. */
const ASK_MS = 1_000;
const nothing = Buffer.alloc(0);

/** How the other members of the cluster are, by what they say of themselves. */
export class MemberWatch {
  readonly #node: Pick<NodeParts, 'cluster'>;
  #vitals: ReadonlyMap<number, MemberVitals> = new Map();
  #askedMs = Number.NEGATIVE_INFINITY;
  #isAsking = false;

  /** `own` says to the other members how this node is. */
  constructor(node: Pick<NodeParts, 'cluster'>, own: () => MemberVitals) {
    this.#node = node;
    node.cluster.answerMembers(TOPIC, () => Buffer.from(JSON.stringify(own())));
  }

  /** How another member was when it answered last; undefined where it has not answered the last question. */
  vitalsOf(id: number): MemberVitals | undefined {
    return this.#vitals.get(id);
  }

  /** Asks the other members, unless that was done a moment ago. */
  refresh(nowMs: number): void {
    if (this.#isAsking || nowMs - this.#askedMs < ASK_INTERVAL_MS) return;
    this.#askedMs = nowMs;
    this.#isAsking = true;
    void this.#ask().finally(() => {
      this.#isAsking = false;
    });
  }

  async #ask(): Promise<void> {
    const answers = await this.#node.cluster.askMembers(TOPIC, nothing, ASK_MS);
    const vitals = new Map<number, MemberVitals>();
    for (const [id, answer] of answers) {
      const said = parseVitals(answer);
      if (said !== undefined) vitals.set(id, said);
    }
    this.#vitals = vitals;
  }
}

/** A member of another release may say less, or something else: what is no number is left out of the figures. */
function parseVitals(answer: Buffer): MemberVitals | undefined {
  let said: Partial<MemberVitals> | null;
  try {
    said = JSON.parse(answer.toString()) as Partial<MemberVitals> | null;
  } catch {
    return undefined;
  }
  if (said === null || typeof said !== 'object' || typeof said.version !== 'string') return undefined;
  const number = (value: unknown): number =>
    typeof value === 'number' && Number.isFinite(value) ? value : 0;
  return {
    version: said.version,
    startedMs: number(said.startedMs),
    isReady: said.isReady === true,
    problemCount: number(said.problemCount),
    cpuShare: number(said.cpuShare),
    residentBytes: number(said.residentBytes),
    writesPerSecond: number(said.writesPerSecond),
    readsPerSecond: number(said.readsPerSecond),
    diskFreeBytes: number(said.diskFreeBytes),
  };
}
