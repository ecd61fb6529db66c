import { findFreePorts } from './free-ports.js';

/**
 * Puts ports of 127.0.0.1 in the place of the addresses that containers have among each other, so that what a file of
 * an orchestrator runs in containers can be run as processes of this machine.
 */
export class LoopbackAddresses {
  readonly #ports: ReadonlyMap<string, number>;

  private constructor(ports: ReadonlyMap<string, number>) {
    this.#ports = ports;
  }

  /** Finds a free port for each of the containers' ports, of each host. */
  static async find(hosts: readonly string[], containerPorts: readonly number[]): Promise<LoopbackAddresses> {
    const names = hosts.flatMap((host) => containerPorts.map((port) => `${host}:${port}`));
    const ports = await findFreePorts(names.length);
    return new LoopbackAddresses(new Map(names.map((name, i) => [name, ports[i]!])));
  }

  /** The address that stands for a port of a host. Throws where there is none. */
  of(host: string, containerPort: number): string {
    const port = this.#ports.get(`${host}:${containerPort}`);
    if (port === undefined) throw new Error(`no container listens at ${host}:${containerPort}`);
    return `127.0.0.1:${port}`;
  }

  /**
   * Returns a text of one host with every HOST:PORT replaced, and every 0.0.0.0:PORT by its own. `published` holds what
   * 127.0.0.1:PORT outside of the containers leads to. Throws where such an address leads nowhere.
   */
  replace(text: string, ownHost: string, published: ReadonlyMap<string, string> = new Map()): string {
    const hosts = [...new Set([...this.#ports.keys()].map((name) => name.slice(0, name.lastIndexOf(':'))))];
    const names = [...hosts, '0.0.0.0', '127.0.0.1'].map((host) => host.replaceAll('.', '[.]')).join('|');
    return text.replace(
      new RegExp(`(?<![\\w.-])(${names}):(\\d+)`, 'g'),
      (address, host: string, port: string) => {
        if (host !== '127.0.0.1') return this.of(host === '0.0.0.0' ? ownHost : host, Number(port));
        const target = published.get(address);
        if (target === undefined) throw new Error(`nothing is published at ${address}`);
        return this.replace(target, ownHost);
      },
    );
  }
}
