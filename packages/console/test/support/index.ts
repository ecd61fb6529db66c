export * from './in-page.js';
