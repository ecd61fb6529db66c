import { expect, test } from '@jest/globals';
import { allEventKinds } from '../src/process/event-kinds.js';

/** The names that a line of the log has beside the fields of its event. */
const RESERVED = ['level', 'time', 'node', 'event', 'msg', 'advice', 'pid', 'hostname'];

test('every kind of event has a code of its own', () => {
  const codes = allEventKinds.map(({ code }) => code);
  expect(codes.length).toBeGreaterThan(80);
  expect(codes.filter((code, i) => codes.indexOf(code) !== i)).toEqual([]);
  for (const code of codes) expect(code).toMatch(/^[a-z]+(-[a-z]+)+$/);
});

test('every kind of event says what happened, what to do and what its fields mean', () => {
  for (const { text, advice = 'None.', fields } of allEventKinds) {
    expect(text).toMatch(/^(?=\S)(?!A |The ).*[^.\s]$/);
    expect(advice).toMatch(/^[A-Z].*\.$/);
    for (const meaning of Object.values(fields)) expect(meaning).toMatch(/^[A-Z].*\.$/);
    expect(Object.keys(fields).filter((name) => RESERVED.includes(name))).toEqual([]);
  }
});
