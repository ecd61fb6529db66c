import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CoxswainError, StatusCode } from '@coxswain/client';
import { expect, test } from '@jest/globals';
import { describeFailedRestore } from '../src/restore.js';

const root = fileURLToPath(new URL('../../../../', import.meta.url));

/** The codes and texts of all errors, as docs/errors.md lists them. */
const listed = [
  ...readFileSync(join(root, 'docs/errors.md'), 'utf8').matchAll(/^\| `(\w+)` \| [^|]+ \| (.+) \|$/gm),
].map(([, errorCode, text]) => ({ errorCode: errorCode!, text: text! }));

const described = (errorCode: string, text: string): string =>
  describeFailedRestore(new CoxswainError(StatusCode.UNAVAILABLE, text, 'a:1', { errorCode }));

test('an error whose text says that nothing was changed is not told so again, and every other one is, by its code', () => {
  const saying = listed.filter(({ text }) => text.includes('nothing was changed'));
  expect(saying.length).toBeGreaterThan(5);
  expect(saying.filter(({ errorCode }) => described(errorCode, 'x').endsWith('as it was'))).toEqual([]);
  const others = listed.filter((each) => !saying.includes(each));
  expect(others.length).toBeGreaterThan(50);
  expect(others.filter(({ errorCode }) => !described(errorCode, 'x').endsWith('as it was'))).toEqual([]);
});
