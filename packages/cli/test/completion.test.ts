import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, TemporaryDirectory, until } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { coxswainFile, NodeCommand } from './support/command.js';
import { runHere } from './support/command-here.js';

let node: NodeCommand;
const directory = new TemporaryDirectory();
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  node = await NodeCommand.start(['--tables.names=default,users,us:eu']);
  const program = join(directory.path, 'coxswain');
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${coxswainFile}' "$@"\n`);
  chmodSync(program, 0o755);
  env = {
    ...process.env,
    PATH: `${directory.path}:${process.env['PATH']}`,
    COXSWAIN_ENDPOINTS: node.endpoint,
    HOME: directory.path,
    // Some shells ask a terminal for what it is, and wait for the answer.
    TERM: 'dumb',
  };
  await eventually('the tables are there', async () => {
    return (await runHere(['tables', 'list', '--endpoints', node.endpoint])).stdout.split('\n').length === 4;
  });
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { stdout, stderr, exitCode } = await runHere(['completion', shell]);
    expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 });
    writeFileSync(join(directory.path, shell), stdout);
  }
});

afterAll(async () => {
  await node.stop();
  directory.remove();
});

const has = (program: string, flag = '--version'): boolean => spawnSync(program, [flag]).status === 0;

/** Returns the title of a test that needs a program: `npm test` ends with the titles of what was not tried. */
const titleFor = (program: string, isThere: boolean, title: string): string =>
  isThere ? title : `not tried, for want of \`${program}\`: ${title}`;

/** A line, and what a shell makes of its last word. */
const lines: readonly (readonly [string, readonly string[]])[] = [
  ['coxswain tab', ['tables']],
  ['coxswain tables cr', ['create']],
  ['coxswain --endpoints-are-no-option tab', ['tables']],
  ['coxswain get --lim', ['--limit']],
  ['coxswain get k --output js', ['json']],
  ['coxswain get k -o t', ['table']],
  ['coxswain get --table use', ['users']],
  ['coxswain get --output json --table def', ['default']],
  ['coxswain tables delete def', ['default']],
  ['coxswain bench pu', ['put']],
  ['coxswain help ge', ['get']],
  ['coxswain leader --log-level wa', ['warn']],
  ['coxswain completion fi', ['fish']],
  // A cluster that does not answer has no names, and makes no noise.
  ['coxswain get --endpoints 127.0.0.1:1 --table use', []],
  ['coxswain get --config /nowhere --table use', []],
  ['coxswain get --timeout soon --table use', []],
];

describe('completion', () => {
  const hasBash = has('bash');
  test(titleFor('bash', hasBash, 'in bash'), () => {
    if (!hasBash) return;
    const script = `source "$1"; shift
      for line; do COMP_LINE=$line COMP_POINT=\${#line} COMPREPLY=(); _coxswain; echo "\${COMPREPLY[*]}"; done`;
    const complete = (given: readonly string[]): string[] => {
      const { stdout, stderr } = spawnSync(
        'bash',
        ['-c', script, 'bash', join(directory.path, 'bash'), ...given],
        { env, encoding: 'utf8' },
      );
      expect(stderr).toBe('');
      return stdout.split('\n').slice(0, -1);
    };
    expect(complete(lines.map(([line]) => line))).toEqual(lines.map(([, words]) => words.join(' ')));
    // Readline replaces what follows the last colon, or the equals sign.
    const special = ['coxswain get --table=us:', 'coxswain get --output=j', 'coxswain leader --dev-mode=f'];
    expect(complete(special)).toEqual(['eu', 'json', 'false']);
    expect(complete(['coxswain backup --tables users,def', 'coxswain tables '])).toEqual([
      'users,default',
      'list create delete help',
    ]);
    expect(complete([`coxswain get --cacert ${directory.path}/cox`])).toEqual([`${directory.path}/coxswain`]);
  });

  const hasFish = has('fish');
  test(titleFor('fish', hasFish, 'in fish'), () => {
    if (!hasFish) return;
    const complete = (given: readonly string[]): string[][] => {
      const script = `source $argv[1]; for line in $argv[2..-1]; complete -C $line; echo end; end`;
      const { stdout, stderr } = spawnSync(
        'fish',
        ['--no-config', '-c', script, join(directory.path, 'fish'), ...given],
        { env, encoding: 'utf8' },
      );
      expect(stderr).toBe('');
      const parts = stdout.split(/^end\n/m).slice(0, -1);
      return parts.map((part) =>
        part
          .split('\n')
          .slice(0, -1)
          .map((line) => line.split('\t')[0]!),
      );
    };
    expect(complete(lines.map(([line]) => line))).toEqual(lines.map(([, words]) => words));
    expect(complete(['coxswain backup --tables users,def', 'coxswain leader --dev-mode=f'])).toEqual([
      ['users,default'],
      ['--dev-mode=false'],
    ]);
  });

  const hasZsh = has('zsh') && has('script');
  test(titleFor('zsh and script (util-linux)', hasZsh, 'in zsh, on a terminal'), async () => {
    if (!hasZsh) return;
    const shell = spawn('script', ['-qec', 'zsh -f -i', '/dev/null'], { env, stdio: 'pipe' });
    const ended = new Promise((resolve) => shell.once('close', resolve));
    let shown = '';
    shell.stdout.setEncoding('utf8').on('data', (text: string) => {
      shown += text;
    });
    // A key shows the line as it is, and begins another one.
    const setUp = [
      'autoload -Uz compinit; compinit -u -D',
      `source ${join(directory.path, 'zsh')}`,
      'show() { print -r -- "<line:$BUFFER>"; BUFFER= }; zle -N show; bindkey "^Xs" show',
      'print re""ady',
    ];
    shell.stdin.write(`${setUp.join('; ')}\n`);
    await until('the shell reads', () => shown.includes('ready\r'));
    const complete = async (line: string): Promise<string> => {
      shown = '';
      shell.stdin.write(`${line}\t\x18s`);
      await until(`the line ${line} is shown`, () => /<line:.*>/.test(shown));
      return /<line:(.*)>/.exec(shown)![1]!;
    };
    for (const [line, words] of lines) {
      // An option before a command makes no sense to _arguments.
      if (line.includes('are-no-option')) continue;
      const [whole] = words;
      const expected = whole === undefined ? line : line.replace(/\S+$/, whole);
      expect((await complete(line)).replace(/[= ]$/, '')).toBe(expected);
    }
    expect(await complete('coxswain backup --tables users,def')).toBe(
      'coxswain backup --tables users,default,',
    );
    expect(await complete('coxswain tables delete us:')).toBe('coxswain tables delete us:eu ');
    expect(await complete('coxswain leader --dev-mode=t')).toBe('coxswain leader --dev-mode=true ');
    shell.stdin.write('\x04');
    await ended;
  });

  test('a hung node is given up after a second', async () => {
    node.signal('SIGSTOP');
    try {
      const begun = runHere(['completion', 'tables', '--', '--endpoints', node.endpoint, '--timeout', '5m']);
      expect(await begun).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    } finally {
      node.signal('SIGCONT');
    }
  });
});
