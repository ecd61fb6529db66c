import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { rerun } from './support/scenario.js';

// Jest runs what was compiled to dist/test; the scenarios stay with the sources.
const folder = join(dirname(fileURLToPath(import.meta.url)), '../../test/scenarios');

/** With REWRITE=1 the files get the output of the code as it is, for review as a diff. */
const isRewriting = process.env['REWRITE'] === '1';

describe('scenarios', () => {
  const files = readdirSync(folder).filter((file) => file.endsWith('.txt'));
  test.each(files)('%s', (file) => {
    const path = join(folder, file);
    const expected = readFileSync(path, 'utf8');
    const actual = rerun(expected);
    if (isRewriting) writeFileSync(path, actual);
    else expect(actual).toBe(expected);
  });
});
