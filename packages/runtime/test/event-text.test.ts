import { describe, expect, test } from '@jest/globals';
import { textOfEvent } from '../src/event-text.js';
import { declareEvents } from '../src/events.js';

const MEANINGS = { peer: 'its number', reason: 'why', members: 'who' };
const events = declareEvents(MEANINGS, {
  peerUp: { severity: 'info', text: 'a peer is up', fields: ['peer'] },
  peerDown: {
    severity: 'warn',
    text: 'a peer is down',
    advice: 'Start it.',
    fields: ['reason', 'members'],
  },
});
const TIME = '2026-01-02T03:04:05.678Z';
const plain = { nodeId: 2, isColoured: false };

describe('an event as text', () => {
  test('says when, how severe, on which node, what, with which fields, and its code', () => {
    const event = { time: TIME, kind: events.peerUp, fields: { peer: 3 } };
    expect(textOfEvent(event, plain)).toBe(
      '2026-01-02T03:04:05.678Z INFO  node 2: a peer is up peer=3 [peer-up]\n',
    );
  });

  test('has advice in a line of its own, and no field that is not set', () => {
    const event = {
      time: TIME,
      kind: events.peerDown,
      fields: { reason: undefined, members: [1, 2] },
    };
    expect(textOfEvent(event, plain)).toBe(
      '2026-01-02T03:04:05.678Z WARN  node 2: a peer is down members=[1,2] [peer-down]\n    Start it.\n',
    );
  });

  test.each([
    ['two words', '"two words"'],
    ['10.0.0.1:5012', '10.0.0.1:5012'],
    ['', '""'],
    ['a\nb', '"a\\nb"'],
    ['a\u001b[31mb', '"a\\u001b[31mb"'],
    ['a\u009b31mb', '"a\\u009b31mb"'],
    ['a\u202eb', '"a\\u202eb"'],
    ['peer=1', '"peer=1"'],
  ])('shows %j of a stranger as %s, which ends no line and steers no terminal', (reason, shown) => {
    const event = { time: TIME, kind: events.peerDown, fields: { reason } };
    expect(textOfEvent(event, plain)).toContain(`a peer is down reason=${shown} [`);
  });

  test('is coloured by its severity', () => {
    const event = { time: TIME, kind: events.peerUp, fields: {} };
    expect(textOfEvent(event, { nodeId: 2, isColoured: true })).toContain('\u001b[36mINFO \u001b[0m');
  });
});
