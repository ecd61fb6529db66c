import { useState } from 'preact/hooks';
import type { EventRow } from '../../api.js';
import { formatTime } from '../format.js';
import { useKnown } from '../hooks.js';
import type { PageProps } from '../page.js';
import { Choice, Empty, Panel, State, type Tone } from '../ui.js';

const tones: Readonly<Record<EventRow['severity'], Tone>> = {
  debug: 'quiet',
  info: 'quiet',
  warn: 'warn',
  error: 'bad',
};
const least = [
  { value: 'info', text: 'All' },
  { value: 'warn', text: 'Warnings' },
  { value: 'error', text: 'Errors' },
] as const;
const severities = ['debug', 'info', 'warn', 'error'] as const;

/** What happened to the node since it started, the newest first. */
export function EventsPage(_: PageProps) {
  const events = useKnown((known) => known.events);
  const [severity, setSeverity] = useState<'info' | 'warn' | 'error'>('info');
  const [wanted, setWanted] = useState('');
  const shown = events
    .filter((event) => severities.indexOf(event.severity) >= severities.indexOf(severity))
    .filter(({ event, text, fields }) => `${event} ${text} ${describeFields(fields)}`.includes(wanted))
    .toReversed();
  return (
    <>
      <h1>Events</h1>
      <div class="filters">
        <Choice label="Severity" value={severity} options={least} onChoose={setSeverity} />
        <input
          type="search"
          aria-label="Filter events"
          placeholder="Filter"
          value={wanted}
          onInput={(event) => setWanted(event.currentTarget.value)}
        />
      </div>
      <Panel title="Events of this node" isFlush>
        {shown.length === 0 ? (
          <Empty>Nothing of this kind has happened.</Empty>
        ) : (
          <EventList events={shown} />
        )}
      </Panel>
    </>
  );
}

export function EventList({ events }: { readonly events: readonly EventRow[] }) {
  return (
    <ol class="events">
      {events.map(({ sequence, atMs, severity, event, text, advice, fields }) => (
        <li key={`${atMs} ${sequence}`}>
          <time dateTime={new Date(atMs).toISOString()}>{formatTime(atMs)}</time>
          <State tone={tones[severity]}>{severity}</State>
          <div>
            <p>
              {text} <span class="fields">{describeFields(fields)}</span>
            </p>
            {advice !== undefined && <p class="advice">{advice}</p>}
            <code class="code">{event}</code>
          </div>
        </li>
      ))}
    </ol>
  );
}

function describeFields(fields: EventRow['fields']): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
    .join(' ');
}
