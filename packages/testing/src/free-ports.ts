import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below the ports that a system gives to whoever asks for any: from 32768 on Linux (ip_local_port_range), from 49152
 * elsewhere. One of those, found free and then let go, may be another process's, or a client's, before its node listens.
 */
const firstPort = 16_384;
const regionCount = 8;
const regionSize = 2_048;

/** Jest's workers run at once: each has ports of its own. */
const region = (Number(process.env['JEST_WORKER_ID'] ?? randomInt(regionCount)) || 0) % regionCount;
let next = randomInt(regionSize);

/**
 * Finds ports on 127.0.0.1 that nobody listens on, all different, for servers that must be named to others before they
 * listen. No process of this or another run of tests is likely to take one before they do. Throws when there are not
 * enough of them.
 */
export async function findFreePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tried = 0; tried < regionSize && ports.length < count; tried++) {
    const port = firstPort + region * regionSize + next;
    next = (next + 1) % regionSize;
    if (await isPortFree(port)) ports.push(port);
  }
  if (ports.length < count) throw new Error(`only ${ports.length} of ${count} ports are free`);
  return ports;
}

/** As `findFreePorts`, for one. */
export async function findFreePort(): Promise<number> {
  const [port] = await findFreePorts(1);
  return port!;
}

/** Whether nobody listens on that port of 127.0.0.1. */
export function isPortFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
