import { Command, Option } from 'commander';
import { connectionFlags, withConnectionFlags } from '../connection-flags.js';
import { usageError } from '../exit.js';

interface EventsFlags {
  readonly follow: boolean;
  /** In milliseconds before now, or since 1970. */
  readonly since?: { readonly agoMs: number } | { readonly timeMs: number };
  readonly severity: 'info' | 'warn' | 'error';
  readonly event?: string;
}

/** `events`: what happened to the nodes, merged by time. */
export function eventsCommand(): Command {
  const command = withConnectionFlags(
    new Command('events').description(
      'Show what happened to the nodes of a cluster, merged by time. Exits with 1 if an endpoint does not answer.',
    ),
  )
    .option('--follow', 'Go on with each event as it happens, until Ctrl-C.', false)
    .addOption(
      new Option(
        '--since <time>',
        'Leave out what happened earlier: 10m ago, or since 2026-03-01T12:00:00Z. (default: all that the nodes keep)',
      ).argParser(parseSince),
    )
    .addOption(
      new Option('--severity <severity>', 'Leave out what matters less.')
        .choices(['info', 'warn', 'error'])
        .default('info'),
    )
    .option('--event <codes>', 'Show these events alone, by their codes, separated by commas.')
    .addHelpText('after', EVENTS_HELP);
  return command.action(async () => {
    // Read first: a --config file is for reading and writing.
    const { follow, since, severity, event } = command.opts<EventsFlags>();
    const flags = connectionFlags(command);
    if (follow && flags.output === 'table')
      throw usageError('-o table: a table is drawn when it is complete: use simple or json with --follow');
    const { showEvents } = await import('../event-feed.js');
    const codes = event?.split(',').map((code) => code.trim());
    const sinceMs =
      since === undefined ? undefined : 'timeMs' in since ? since.timeMs : Date.now() - since.agoMs;
    await showEvents(flags, { follow, severity, codes: codes && new Set(codes), sinceMs });
  });
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration before now, or a moment that means the same everywhere: RFC 3339. */
function parseSince(text: string): EventsFlags['since'] {
  const duration = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text);
  if (duration !== null) return { agoMs: Number(duration[1]) * UNITS_MS[duration[2]!]! };
  const timeMs = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (!Number.isNaN(timeMs)) return { timeMs };
  throw usageError(
    `--since: must be a duration such as 30s, 10m, 2h or 1d, or a moment such as 2026-03-01T12:00:00Z, not ${text}`,
  );
}

const EVENTS_HELP = `
Every node keeps the last 1,000 events since its process started: elections,
peers, quorum, tables, snapshots, disks, certificates, the archive and more. The
page docs/events.md lists all of them with what to do. Their times are those of
the nodes' clocks. Where maintenance.token is set, give it as --token. As JSON,
each event is an object in a line, as in the log of the node. With --follow a
node that goes away is asked again until it is back.

  coxswain events --since 10m --severity warn
  coxswain events --follow --event table-leader-lost,table-has-leader
  coxswain events -o json | jq -r .event | sort | uniq -c`;
