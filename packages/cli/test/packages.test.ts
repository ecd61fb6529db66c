import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

/** Runs a script of the repository to its end, which asks no registry. */
function runScript(name: string, ...args: readonly string[]): Promise<{ exitCode: unknown; output: string }> {
  const file = fileURLToPath(new URL(`../../../../scripts/${name}`, import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, [file, '--offline', ...args], (error, stdout, stderr) =>
      resolve({ exitCode: error?.code ?? 0, output: `${stdout}${stderr}` }),
    );
  });
}

describe('the packages that people install', () => {
  test(`work in an empty project, under Node ${process.version} and those that NODE_BINARIES names`, async () => {
    const { exitCode, output } = await runScript('check-packages.mjs');
    expect({ exitCode, output }).toEqual({
      exitCode: 0,
      output: expect.stringContaining(`Node ${process.version}: client, protocol and command work\n`),
    });
  });

  test('do what docs/clients/typescript.md says', async () => {
    expect(await runScript('check-clients.mjs', 'typescript')).toEqual({
      exitCode: 0,
      output: 'docs/clients/typescript.md: does what it says\n',
    });
  });
});
