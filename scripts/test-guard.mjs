// Under Jest's own runner no test runs once a beforeAll of its file has failed. The light runner goes on: the tests then
// wait, each as long as it may, for what was never made.
const { beforeAll, expect, test } = globalThis;

/** Files of which a beforeAll has failed. */
const failed = new Set();
const file = () => expect.getState().testPath;

globalThis.beforeAll = (act) =>
  beforeAll(async () => {
    try {
      await act();
    } catch (error) {
      failed.add(file());
      throw error;
    }
  });

const guarded =
  (act) =>
  async (...values) => {
    if (failed.has(file())) throw new Error('not run: a beforeAll of this file has failed');
    await act(...values);
  };

globalThis.test = Object.assign((name, act) => test(name, guarded(act)), test, {
  each: (...table) => {
    const each = test.each(...table);
    return (name, act) => each(name, guarded(act));
  },
});
