export type { CallOptions, Method } from './call.js';
export { CallError, type FailureOrigin } from './call-error.js';
export { Channel, type ChannelOptions, type ChannelState } from './channel.js';
export type { ChannelTls } from './dial.js';
export { type Metadata, metadataOf } from './metadata.js';
export { Status } from './status.js';
export { NO_ANSWER, systemErrors } from './system-errors.js';
export { whenAborted } from './when-aborted.js';
