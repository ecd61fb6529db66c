import { events } from '@coxswain/protocol';
import type { Connection, StreamOptions } from './connection.js';

/** Selects the events that `Events.watch` yields. */
export interface EventsOptions extends StreamOptions {
  /** Continues after this event of the node, which was yielded earlier. */
  readonly after?: events.Position;
  /** Leaves out what happened before this time, in milliseconds since 1970. */
  readonly sinceMs?: number;
  /** True goes on with each event as it happens, until the node stops. */
  readonly follow?: boolean;
  /** The least severe events to yield; all by default. */
  readonly minimumSeverity?: events.Severity;
}

/** The events of one node. */
export interface WatchedEvents {
  /** The member that answers. */
  readonly nodeId: bigint;
  /** The position of the newest event when the call began. */
  readonly newest: events.Position;
  /** Yields the events, the oldest first. Leaving the loop cancels the rest. */
  readonly events: AsyncGenerator<events.Event, void>;
}

/** The calls of coxswain.v1.Events, for operators. */
export class Events {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Asks one node for what happened to it since its process started, as far as it keeps that. Resolves when the node has
   * answered; the timeout is for that answer.
   */
  async watch(options: EventsOptions = {}): Promise<WatchedEvents> {
    const { after, sinceMs, follow = false, minimumSeverity } = options;
    const request: events.WatchRequest = {
      since:
        after !== undefined
          ? { $case: 'after', value: after }
          : sinceMs !== undefined
            ? { $case: 'timeMs', value: BigInt(Math.ceil(sinceMs)) }
            : undefined,
      follow,
      minimumSeverity: minimumSeverity ?? events.Severity.SEVERITY_UNSPECIFIED,
    };
    const messages = this.#connection.stream(events.EventsService.watch, request, options);
    const { value: first } = await messages.next();
    const { nodeId, position } = first ?? events.Event.create();
    return { nodeId, newest: position ?? events.Position.create(), events: messages };
  }
}
