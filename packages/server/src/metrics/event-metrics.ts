import type { EventJournal } from '../process/event-journal.js';
import type { MetricJson } from './grpc-metrics.js';

/** How often each kind of event has occurred, those that never have among them. */
export function describeEvents({ counts }: Pick<EventJournal, 'counts'>): MetricJson {
  return {
    name: 'coxswain_events_total',
    help: 'Events since the process started, by the code of their kind and their severity.',
    type: 'counter',
    values: Array.from(counts, ([{ code, severity }, value]) => ({
      labels: { event: code, severity },
      value,
    })),
  };
}
