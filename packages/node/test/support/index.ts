export { MemoryNode } from './memory-node.js';
export { MemoryTable } from './memory-table.js';
