import { MemoryObjectStore } from '../src/memory-object-store.js';
import { describeObjectStore } from './support/store-conformance.js';

/** What stands in for a store in other tests must do as one. */
describeObjectStore('memory', async () => ({
  store: new MemoryObjectStore(),
  dispose: () => Promise.resolve(),
}));
