/** `npm run acceptance -- simulation` runs these tests at their full size, `npm test` at a small one. */
const isFull = process.env.ACCEPTANCE_SIZE === 'full';

/** The size of a test, as it is wanted now. */
export const sized = <T>(small: T, full: T): T => (isFull ? full : small);
