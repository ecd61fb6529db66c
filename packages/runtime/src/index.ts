export { Backoff, jittered } from './backoff.js';
export type { Clock, Timer } from './clock.js';
export { type ShownEvent, textOfEvent } from './event-text.js';
export {
  declareEvents,
  type EventFields,
  type EventKind,
  type Log,
  type Severity,
  severities,
} from './events.js';
export { Histogram } from './histogram.js';
export { pause } from './pause.js';
export type { Random } from './random.js';
export { RateLimit } from './rate-limit.js';
export { Semaphore } from './semaphore.js';
export {
  formatTraceparent,
  parseTraceparent,
  type Span,
  type SpanContext,
  type Tracer,
} from './tracing.js';
export { Waiters } from './waiters.js';
