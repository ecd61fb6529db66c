#!/usr/bin/env node
// The thread pool serves fdatasync, LevelDB batches and iterators at once; its size is read when the
// pool starts, which loading ES modules does. So it is set here, in a file that needs no pool.
process.env.UV_THREADPOOL_SIZE ??= '8';
// What libraries call deprecated is for those who develop them, not for those who read this command's output.
process.noDeprecation = true;
// `npm run build` makes it of dist/src/main.js and all that this imports.
void import('../bundle/main.js');
