export * from './leader-link.js';
export * from './status.js';
