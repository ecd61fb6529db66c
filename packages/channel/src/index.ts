export { Channel, type ChannelTls, type WatchedChannelOptions } from './channel.js';
export { wasNeverSent } from './never-sent.js';
export { wasReset } from './reset.js';
export { NO_ANSWER, systemErrors } from './system-errors.js';
