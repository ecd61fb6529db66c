// Jest's runner for `npm test`: the light runner in processes of its own, with one race of version 0.7.13 mended. All
// processes of a project ask for its configuration over one channel there; the answer to one goes to all, also to one that
// does not listen yet, and that one is never answered again: its file never ended. Here each file has a channel of its own.
import LightRunner from 'jest-light-runner/child-process';

function channelOf(workerData) {
  let answer;
  return {
    onMessage(listener) {
      answer = listener;
    },
    postMessage(message) {
      if (message !== 'jest-light-runner-get-worker-data') return;
      answer({ type: 'jest-light-runner-worker-data', workerData });
    },
  };
}

export default class TestRunner extends LightRunner {
  _runTest(test) {
    const { config: projectConfig } = test.context;
    const made = this._testRunners.get(projectConfig);
    // The first file of a project makes its processes, and is the only one on the channel that comes with them.
    if (made === undefined) return super._runTest(test);
    const { _globalConfig: globalConfig, _runtime: runtime } = this;
    return made.pool.run(test.path, { channel: channelOf({ globalConfig, projectConfig, runtime }) });
  }
}
