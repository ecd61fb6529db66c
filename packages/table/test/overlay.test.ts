import { oldGenerationGrowth } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import { Overlay } from '../src/overlay.js';

describe('an overlay', () => {
  test('keeps nothing of batches that were written', () => {
    const overlay = new Overlay();
    const growth = oldGenerationGrowth(300_000, (step) => {
      overlay.set(`key-${step % 10_000}`, Buffer.alloc(8));
      if (step % 20 === 0) overlay.release(overlay.endGeneration());
    });
    expect(overlay.get('key-0')).toBeUndefined();
    expect(growth).toBeLessThan(10e6);
  });

  test('gives what a later generation has set, though an earlier one is written', () => {
    const overlay = new Overlay();
    overlay.set('a', Buffer.from('1'));
    overlay.set('b', Buffer.from('1'));
    const first = overlay.endGeneration();
    overlay.set('a', Buffer.from('2'));
    overlay.release(first);
    expect(overlay.get('a')?.record?.toString()).toBe('2');
    expect(overlay.get('b')).toBeUndefined();
    expect(overlay.range('', undefined).map(({ id }) => id)).toEqual(['a']);
    overlay.release(overlay.endGeneration());
    expect(overlay.get('a')).toBeUndefined();
    expect(overlay.range('', undefined)).toEqual([]);
  });
});
