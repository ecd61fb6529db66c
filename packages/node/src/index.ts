export * from './api.js';
export * from './environment.js';
export * from './errors.js';
export * from './options.js';
