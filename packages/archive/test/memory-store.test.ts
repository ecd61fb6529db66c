import { MemoryObjectStore } from '../src/memory-object-store.js';
import { describeObjectStore } from './support/store-conformance.js';

/** The stand-in for a store in other tests must behave as a store does. */
describeObjectStore('memory', async () => ({
  store: new MemoryObjectStore(),
  dispose: () => Promise.resolve(),
}));
