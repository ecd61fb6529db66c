import { LevelStoreDirectory, MemoryStoreDirectory } from '../src/index.js';
import { describeStoreConformance } from './store-conformance.js';
import { makeTemporaryDirectory } from './temporary-directory.js';

describeStoreConformance('MemoryStore', async () => ({
  directory: new MemoryStoreDirectory(),
  dispose: () => Promise.resolve(),
}));

describeStoreConformance('LevelStore', async () => {
  const { path, dispose } = await makeTemporaryDirectory();
  const options = { writeBufferSizeBytes: 4 << 20, cacheSizeBytes: 4 << 20 };
  return { directory: await LevelStoreDirectory.open(path, options), dispose };
});
