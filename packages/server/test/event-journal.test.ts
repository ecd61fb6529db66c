import { declareEvents } from '@coxswain/runtime';
import { describe, expect, test } from '@jest/globals';
import { type Event, EventJournal, type WatchedEvent } from '../src/process/event-journal.js';

const MEANINGS = { peer: 'its number' };
const events = declareEvents(MEANINGS, {
  peerUp: { severity: 'info', text: 'a peer is up', fields: ['peer'] },
  linkLost: { severity: 'debug', text: 'a link was lost', fields: ['peer'] },
});

function journalOf(count: number): EventJournal {
  const journal = new EventJournal();
  for (let peer = 1; peer <= count; peer++) journal.log(events.peerUp, { peer });
  return journal;
}

function sequences(list: readonly Event[]): number[] {
  return list.map(({ sequence }) => sequence);
}

async function take(watch: AsyncIterator<WatchedEvent>, count: number): Promise<WatchedEvent[]> {
  const taken: WatchedEvent[] = [];
  while (taken.length < count) {
    const { done, value } = await watch.next();
    if (done) break;
    taken.push(value);
  }
  return taken;
}

describe('EventJournal', () => {
  test('gives a kind its name as its code', () => {
    expect(events.peerUp.code).toBe('peer-up');
  });

  test('numbers and keeps the events of info and above', () => {
    const journal = journalOf(2);
    journal.log(events.linkLost, { peer: 1 });
    journal.log(events.peerUp, { peer: 3 });
    expect(sequences(journal.since(0))).toEqual([1, 2, 3]);
    expect(sequences(journal.since(2))).toEqual([3]);
    expect(journal.since(3)).toEqual([]);
    expect(journal.recent(2).map(({ fields }) => fields)).toEqual([{ peer: 2 }, { peer: 3 }]);
    expect(sequences(journal.recent(100))).toEqual([1, 2, 3]);
  });

  test('keeps the last thousand', () => {
    const journal = journalOf(2_500);
    const kept = journal.since(0);
    expect(kept).toHaveLength(1_000);
    expect(kept.map(({ fields }) => fields['peer'])).toEqual(sequences(kept));
    expect(kept[0]!.sequence).toBe(1_501);
    expect(sequences(journal.recent(2))).toEqual([2_499, 2_500]);
  });

  test('gives all that it has after a number of an earlier start of the process', () => {
    expect(sequences(journalOf(3).since(77))).toEqual([1, 2, 3]);
  });

  test('counts each kind, also those that have not happened and debug events', () => {
    const journal = new EventJournal({ kinds: Object.values(events) });
    expect(journal.counts.get(events.peerUp)).toBe(0);
    journal.log(events.linkLost, { peer: 1 });
    journal.log(events.linkLost, { peer: 1 });
    expect(journal.counts.get(events.linkLost)).toBe(2);
  });

  test('hands each event to the log, debug ones too', () => {
    const written: string[] = [];
    const journal = new EventJournal({ write: ({ kind }) => written.push(kind.code) });
    journal.log(events.linkLost, { peer: 1 });
    journal.log(events.peerUp, { peer: 1 });
    expect(written).toEqual(['link-lost', 'peer-up']);
  });

  test('gives a watcher what has happened, and then each event as it happens', async () => {
    const journal = journalOf(3);
    const watch = journal.watch(1, new AbortController().signal);
    expect(sequences(await take(watch, 2))).toEqual([2, 3]);
    const next = watch.next();
    journal.log(events.linkLost, { peer: 9 });
    journal.log(events.peerUp, { peer: 4 });
    expect((await next).value).toMatchObject({ sequence: 4, fields: { peer: 4 }, missed: 0 });
  });

  test('skips a watcher that reads too slowly forward, and says how many it missed', async () => {
    const journal = journalOf(1);
    const watch = journal.watch(0, new AbortController().signal);
    expect(await take(watch, 1)).toMatchObject([{ sequence: 1, missed: 0 }]);
    for (let peer = 2; peer <= 1_500; peer++) journal.log(events.peerUp, { peer });
    expect(await take(watch, 2)).toMatchObject([
      { sequence: 501, fields: { peer: 501 }, missed: 499 },
      { sequence: 502, missed: 0 },
    ]);
  });

  test('ends a watch whose signal is aborted', async () => {
    const controller = new AbortController();
    const watch = journalOf(0).watch(0, controller.signal);
    const next = watch.next();
    controller.abort();
    expect((await next).done).toBe(true);
  });

  test('ends every watch when it is closed, after what has happened, and still takes events', async () => {
    const journal = journalOf(0);
    const watch = journal.watch(0, new AbortController().signal);
    const waiting = journal.watch(0, new AbortController().signal).next();
    journal.log(events.peerUp, { peer: 1 });
    journal.close();
    expect(sequences(await take(watch, 2))).toEqual([1]);
    expect((await waiting).value).toMatchObject({ sequence: 1 });
    journal.log(events.peerUp, { peer: 2 });
    expect(journal.sequence).toBe(2);
  });
});
