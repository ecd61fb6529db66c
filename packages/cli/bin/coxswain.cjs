#!/usr/bin/env node
// The thread pool serves fdatasync, LevelDB batches and iterators at once; its size is read when the
// pool starts, which loading ES modules does. So it is set here, in a file that needs no pool.
process.env.UV_THREADPOOL_SIZE ??= '8';
// Errors are told by us, in one line; gRPC's own log of them would come beside it.
process.env.GRPC_VERBOSITY ??= 'NONE';
void import('../dist/src/main.js');
