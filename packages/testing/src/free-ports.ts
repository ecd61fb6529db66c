import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

/**
 * Below the ports that a system gives to whoever asks for any: from 32768 on Linux (ip_local_port_range), from 49152
 * elsewhere. One of those, found free and then let go, may be another process's, or a client's, before its node listens.
 */
const FIRST_PORT = 16_384;
const PORT_COUNT = 16_384;

let next = FIRST_PORT + randomInt(PORT_COUNT);

/**
 * Finds ports on 127.0.0.1 that nobody listens on, all different, for servers that must be named to others before they
 * listen. They are this process's until it ends: no other that finds ports this way, in this or another run of tests, is
 * given them. The search begins at `from`. Throws when there are not enough of them.
 */
export async function findFreePorts(count: number, from = next): Promise<number[]> {
  const ports: number[] = [];
  for (let tried = 0; tried < PORT_COUNT && ports.length < count; tried++) {
    const port = FIRST_PORT + ((from - FIRST_PORT + tried) % PORT_COUNT);
    next = port + 1;
    if (await claimPorts([port])) ports.push(port);
  }
  if (ports.length < count) throw new Error(`only ${ports.length} of ${count} ports are free`);
  return ports;
}

/** As `findFreePorts`, for one. */
export async function findFreePort(): Promise<number> {
  const [port] = await findFreePorts(1);
  return port!;
}

/**
 * Whether nobody listens on these ports of 127.0.0.1, and they are this process's until it ends, as those of `findFreePorts`:
 * for servers whose ports are all known once one of them is. They must be below 49,152. Of ports that are not all free some
 * may be this process's all the same.
 */
export async function claimPorts(ports: readonly number[]): Promise<boolean> {
  for (const port of ports) if (!((await isPortFree(port)) && (await claim(port)))) return false;
  return true;
}

function isPortFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/**
 * Whether the port is this process's now. The claim is a UDP port that stands for it, which the system gives to one
 * process, and takes back when that ends in whatever way. Not the UDP port of the same number: peers that gossip, or speak
 * QUIC, listen on that.
 */
function claim(port: number): Promise<boolean> {
  const socket = createSocket({ type: 'udp4', reuseAddr: false }).unref();
  return new Promise((resolve) => {
    socket.once('error', () => resolve(false));
    socket.bind({ port: port + PORT_COUNT, address: '127.0.0.1', exclusive: true }, () => resolve(true));
  });
}
