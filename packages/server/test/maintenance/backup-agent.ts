import { existsSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { maintenance, regatta } from '@coxswain/protocol';
import { FrameDecompressor } from '@coxswain/stream';
import { until } from '@coxswain/testing';
import { expect, test } from '@jest/globals';
import { OneNode } from '../support/one-node.js';
import { collect } from '../support/rpc.js';

// Registers the tests of ../maintenance.test.ts.
export function backupAgent(): void {
  const t = Buffer.from('t');

  function request(pairs: Readonly<Record<string, string>>): string {
    const lines = Object.entries(pairs).map(([key, value]) => `${key}=${value}\n`);
    return `0.76.1\n${lines.length}\n${lines.join('')}\n`;
  }

  async function ask(node: OneNode, pairs: Readonly<Record<string, string>>): Promise<Buffer> {
    const { host, port } = node.server.backupAgentAddress!;
    const pieces: Buffer[] = [];
    const socket = createConnection({ host, port });
    socket.write(request(pairs));
    for await (const piece of socket) pieces.push(piece as Buffer);
    return Buffer.concat(pieces);
  }

  /** The first file of the tar in an answer. */
  function firstFile(answer: Buffer): Buffer {
    const tar = answer.subarray(answer.indexOf('\n\n') + 2);
    return tar.subarray(512, 512 + Number.parseInt(tar.toString('latin1', 124, 135), 8));
  }

  function plainOf(frames: Buffer): string {
    const decompressor = new FrameDecompressor();
    const plain = decompressor.update(frames).toString('latin1');
    decompressor.end();
    return plain;
  }

  test('a node sends backups of its tables to whoever knows the maintenance token, and changes since', async () => {
    const node = await OneNode.start({
      'backup-agent.address': ':0',
      'maintenance.token': 's3cUre',
      'tables.names': 't',
    });
    const rpc = node.rpc();
    try {
      const put = (key: string) =>
        rpc.call(regatta.KVService.put, { table: t, key: Buffer.from(key), value: Buffer.from('value') });
      for (let i = 0; i < 100; i++) await put(`k${i}`);
      const full = { action: 'copy from', 'backup-level': '0', password: 's3cUre' };
      const answer = await ask(node, full);
      const authorized = { metadata: { authorization: 'Bearer s3cUre' } };
      const chunks = await collect(
        rpc.stream(maintenance.MaintenanceService.backup, { table: t }, authorized),
      );
      expect(plainOf(firstFile(answer))).toBe(plainOf(Buffer.concat(chunks.map(({ data }) => data))));

      const sid = /\nsid=(.*)\n/.exec(answer.toString('latin1'))![1]!;
      await put('since');
      const changes = plainOf(firstFile(await ask(node, { ...full, 'backup-level': '1', sid })));
      expect(changes).toContain('since');
      expect(changes).not.toContain('k9');

      expect((await ask(node, { ...full, password: 'wrong' })).toString()).toBe(
        '2\nstatus=FAILED\nmsg=the password is wrong: it must be the maintenance token\n\n',
      );
      const report = (await ask(node, { action: 'monitor', password: 's3cUre' })).toString();
      expect(report.match(/^type=.*$/gm)).toEqual(['type=incremental', 'type=full']);
      const kept = join(node.directory, 'backup-agent.json');
      await until('the history is written', () => existsSync(kept));
      expect(statSync(kept).mode & 0o777).toBe(0o600);

      const { text } = await node.get('/metrics');
      expect(text).toContain('coxswain_backup_agent_requests_total{outcome="done"} 3');
      expect(text).toContain('coxswain_backup_agent_requests_total{outcome="refused"} 1');
    } finally {
      rpc.close();
      await node.stop();
    }
  });

  test('without an address there is no such listener, and with one that cannot be the start says so', async () => {
    const node = await OneNode.start({}, { waitsUntilReady: false });
    expect(node.server.backupAgentAddress).toBeUndefined();
    await node.stop();
    await expect(OneNode.start({ 'backup-agent.address': 'https://127.0.0.1:0' })).rejects.toThrow(
      'backup-agent.address must be host:port, not "https://127.0.0.1:0"',
    );
  });
}
