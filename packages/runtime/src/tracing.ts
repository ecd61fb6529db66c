/** The place of a span in a trace, as the W3C's Trace Context has it. */
export interface SpanContext {
  /** The trace, 32 hex digits. */
  readonly traceId: string;
  /** The span, 16 hex digits. */
  readonly spanId: string;
  /** Whether the spans of the trace are recorded. Where they are not, the context is still passed on. */
  readonly isSampled: boolean;
}

/** A span that has ended. */
export interface Span {
  readonly name: string;
  /** `server`: it answers somebody; `consumer`: it takes what was written before; `internal`: a part of another span. */
  readonly kind: 'server' | 'consumer' | 'internal';
  readonly context: SpanContext;
  /** The id of the span that this one is a part of; undefined for the first of a trace. */
  readonly parentId: string | undefined;
  /** Spans of other traces that caused this one. */
  readonly links?: readonly SpanContext[];
  /** When it began and ended, in milliseconds on `Clock.monotonicMs`. */
  readonly beganMs: number;
  readonly endedMs: number;
  /** Numbers and names that tell spans of one name apart; never keys or values. */
  readonly attributes: Readonly<Record<string, string | number>>;
  /** Why it failed; undefined when it did not. */
  readonly error?: string | undefined;
}

/** Records spans. Where tracing is off there is no tracer, and nothing is asked but whether there is one. */
export interface Tracer {
  /** Gives the context of a new span within another one, or of the first span of a trace. */
  begin(parent: SpanContext | undefined): SpanContext;
  /** Takes a span that has ended. */
  record(span: Span): void;
  /** Remembers which span wrote an entry of a group's log, for those who read the entry soon after. */
  wrote(group: number, index: number, context: SpanContext): void;
  /** Gives the span that wrote an entry of a group's log; undefined when that is not known, or no more. */
  writerOf(group: number, index: number): SpanContext | undefined;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:$|-)/u;
const VERSION = '00';
const SAMPLED_FLAG = 1;

/**
 * Reads the header `traceparent` (W3C Trace Context, §3.2). Returns undefined when it is missing or not valid, in which
 * case a new trace is to begin.
 */
export function parseTraceparent(text: string | undefined): SpanContext | undefined {
  const match = text === undefined ? null : TRACEPARENT.exec(text);
  if (match === null) return undefined;
  const [whole, version, traceId, spanId, flags] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
  ];
  // Later versions may have more parts; this one has none.
  if (version === 'ff' || (version === VERSION && whole !== text)) return undefined;
  if (/^0+$/u.test(traceId) || /^0+$/u.test(spanId)) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & SAMPLED_FLAG) !== 0 };
}

/** Writes a context as the header `traceparent`. */
export function formatTraceparent({ traceId, spanId, isSampled }: SpanContext): string {
  return `${VERSION}-${traceId}-${spanId}-${isSampled ? '01' : '00'}`;
}
