import { describe, expect, test } from '@jest/globals';
import { ConfigError, type ConfigSources, describeConfig, loadConfig } from '../src/config/config.js';
import { configGroups, configOptions } from '../src/config/config-schema.js';
import { formatDuration, formatSizeBytes, parseDurationMs, parseSizeBytes } from '../src/config/units.js';

/** Loads a configuration from what a test gives; files by path. */
function load(
  flags: ConfigSources['flags'] = {},
  environment: ConfigSources['environment'] = {},
  files: Record<string, string> = {},
  configFile?: string,
) {
  return loadConfig({ flags, environment, configFile, readFile: (path) => files[path] });
}

/** The error that loading ends with. */
function refusal(...sources: Parameters<typeof load>): ConfigError {
  try {
    load(...sources);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

describe('configuration (docs/protocol.md §5)', () => {
  test('a follower cluster has no replication listener unless its address is given (R5)', () => {
    const addressOf = (flags: ConfigSources['flags']) =>
      loadConfig({ flags, environment: {}, configFile: '', readFile: () => undefined }, 'follower').config[
        'replication.address'
      ];
    expect(addressOf({})).toBe('');
    // Also one that is the default of a leader cluster.
    const given = 'http://127.0.0.1:8444';
    expect(addressOf({ 'replication.address': given })).toBe(given);
  });

  test('defaults are Regatta’s, but listeners bind the loopback address', () => {
    const { config, file, notices } = load();
    expect(config).toMatchObject({
      'api.address': 'http://127.0.0.1:8443',
      'replication.address': 'http://127.0.0.1:8444',
      'rest.address': 'http://127.0.0.1:8079',
      'raft.rtt': 50,
      'raft.heartbeat-rtt': 1,
      'raft.election-rtt': 20,
      'raft.snapshot-entries': 10_000,
      'raft.compaction-overhead': 5_000,
      'storage.block-cache-size': 16 * 1024 * 1024,
      'storage.history-retention': 300_000,
      'replication.enabled': true,
    });
    expect(file).toBeUndefined();
    expect(notices).toEqual([]);
  });

  test('a flag beats the environment, which beats the file, which beats the default', () => {
    const files = { './config.yaml': 'raft:\n  rtt: 10ms\n' };
    const environment = { RAFT_RTT: '20ms' };
    const own = { ...environment, COXSWAIN_RAFT_RTT: '30ms' };
    expect(load({}, {}, files).config['raft.rtt']).toBe(10);
    expect(load({}, environment, files).config['raft.rtt']).toBe(20);
    expect(load({}, own, files).config['raft.rtt']).toBe(30);
    expect(load({ 'raft.rtt': '40ms' }, own, files).config['raft.rtt']).toBe(40);
  });

  test('an unknown COXSWAIN_ name is refused with the one that is meant', () => {
    expect(() => load({}, { COXSWAIN_API_ADRESS: 'x' })).toThrow(
      'COXSWAIN_API_ADRESS: no option has this name in the environment: do you mean COXSWAIN_API_ADDRESS?',
    );
    expect(() => load({}, { COXSWAIN_NONSENSE_OF_A_KIND: 'x' })).toThrow('remove it or correct its name');
    // Other programs put these there.
    load(
      {},
      { COXSWAIN_ENDPOINTS: 'x', COXSWAIN_SERVICE_HOST: '10.0.0.1', COXSWAIN_PORT_8443_TCP_ADDR: 'x' },
    );
  });

  test('a bare name is read only where Regatta has the option', () => {
    const others = { DATA_DIR: '/x', CLONE_TOKEN: 'x', ARCHIVE_TARGET: 'x', ARCHIVE_OBJECT_AGE: 'never' };
    const { config, notices } = load({}, others);
    expect(config).toEqual(load().config);
    expect(notices).toEqual([]);
    expect(load({}, { COXSWAIN_DATA_DIR: '/x' }).config['data-dir']).toBe('/x');
  });

  test('what another program takes for LOG_LEVEL is passed over with a notice', () => {
    const { config, notices } = load({}, { LOG_LEVEL: 'verbose', DEV_MODE: 'on' });
    expect(config).toEqual(load().config);
    expect(notices).toEqual([
      'LOG_LEVEL: must be one of debug, info, warn, error, not "verbose"; where it is meant for another program, set COXSWAIN_LOG_LEVEL: it is passed over',
      'DEV_MODE: must be true or false, not "on"; where it is meant for another program, set COXSWAIN_DEV_MODE: it is passed over',
    ]);
    expect(load({}, { LOG_LEVEL: 'WARN' }).config['log-level']).toBe('warn');
    expect(load({}, { LOG_LEVEL: 'verbose', COXSWAIN_LOG_LEVEL: 'debug' })).toMatchObject({
      config: { 'log-level': 'debug' },
      notices: [],
    });
    expect(() => load({}, { COXSWAIN_LOG_LEVEL: 'verbose' })).toThrow('must be one of');
  });

  test('a bare name that decides about data or access still stops the start', () => {
    expect(refusal({}, { API_CLIENT_CERT_AUTH: 'on' }).message).toBe(
      'API_CLIENT_CERT_AUTH: must be true or false, not "on"; where it is meant for another program, set COXSWAIN_API_CLIENT_CERT_AUTH',
    );
  });

  test('a secret that is set and named by a file is refused', () => {
    const both = { COXSWAIN_TABLES_TOKEN: 'a', COXSWAIN_TABLES_TOKEN_FILE: '/run/token' };
    expect(() => load({}, both, { '/run/token': 'b' })).toThrow(
      'COXSWAIN_TABLES_TOKEN and COXSWAIN_TABLES_TOKEN_FILE are both set: remove one of them',
    );
    const bare = { TABLES_TOKEN: 'a', TABLES_TOKEN_FILE: '/run/token' };
    expect(() => load({}, bare, { '/run/token': 'b' })).toThrow(
      'TABLES_TOKEN and TABLES_TOKEN_FILE are both set',
    );
  });

  test('Regatta’s API_ADDRESS is accepted beside COXSWAIN_API_ADDRESS', () => {
    expect(load({}, { API_ADDRESS: 'http://0.0.0.0:1' }).config['api.address']).toBe('http://0.0.0.0:1');
    expect(load({}, { COXSWAIN_API_ADDRESS: 'unix:///a' }).config['api.address']).toBe('unix:///a');
  });

  test('the file is looked for where Regatta looks, and --config names another', () => {
    const files = { '/config/config.yaml': 'log-level: warn', '/x.yaml': 'log-level: ERROR' };
    expect(load({}, {}, files)).toMatchObject({
      file: '/config/config.yaml',
      config: { 'log-level': 'warn' },
    });
    expect(load({}, {}, files, '/x.yaml').config['log-level']).toBe('error');
    expect(load({}, {}, files, '').config['log-level']).toBe('info');
    expect(load({}, { HOME: '/h' }, { '/h/.regatta/config.yaml': 'dev-mode: true' }).config['dev-mode']).toBe(
      true,
    );
  });

  test('keys of the file may be nested or dotted', () => {
    const nested =
      'api:\n  address: https://h:1\n  client-cert-auth: true\nraft:\n  initial-members:\n    1: a:1\n    2: b:2\n';
    const dotted =
      'api.address: https://h:1\napi.client-cert-auth: true\nraft.initial-members: 1=a:1,2=b:2\n';
    for (const text of [nested, dotted]) {
      expect(load({}, {}, { './config.yaml': text }).config).toMatchObject({
        'api.address': 'https://h:1',
        'api.client-cert-auth': true,
        'raft.initial-members': { 1: 'a:1', 2: 'b:2' },
      });
    }
  });

  test('unknown keys and flags are refused by name', () => {
    const file = refusal({}, {}, { './config.yaml': 'api:\n  adress: x\n' });
    expect(file.message).toBe('./config.yaml: unknown key "api.adress": remove it or correct its name');
    expect(file.isUsage).toBe(false);
    const flag = refusal({ 'api.adress': 'x' });
    expect(flag.message).toBe("unknown option '--api.adress'");
    expect(flag.isUsage).toBe(true);
  });

  test('a broken or missing file is one line that names it', () => {
    expect(refusal({}, {}, { './config.yaml': 'a: 1\n b: [\n' }).message).toMatch(
      /^\.\/config\.yaml:\d: not valid YAML: [^\n]+$/,
    );
    expect(refusal({}, {}, { './config.yaml': '- a\n' }).message).toBe(
      './config.yaml: must hold a map of options',
    );
    expect(refusal({}, {}, {}, '/missing.yaml').message).toBe('/missing.yaml: no such configuration file');
  });

  test.each([
    ['raft.rtt', 'soon', '--raft.rtt: must be a duration such as 50ms, 1s or 5m, not "soon"'],
    ['raft.node-id', '0', '--raft.node-id: must be >= 1'],
    ['raft.node-id', 'one', '--raft.node-id: must be a whole number, not "one"'],
    [
      'api.address',
      'ftp://x',
      '--api.address: must be an address such as http://127.0.0.1:8443 or unix:///run/coxswain.sock, not "ftp://x"',
    ],
    [
      'raft.initial-members',
      '1=a',
      '--raft.initial-members: must be members, each with an id and an address of its own, such as 1=host-a:5012,2=host-b:5012, not "1=a"',
    ],
    [
      'raft.initial-members',
      '1=a:1,1=b:1',
      '--raft.initial-members: must be members, each with an id and an address of its own, such as 1=host-a:5012,2=host-b:5012, not "1=a:1,1=b:1"',
    ],
    [
      'tables.names',
      'users,eu/orders',
      '--tables.names: must be names of 1 to 255 bytes of UTF-8 without "/", NUL or control characters, not "users,eu/orders"',
    ],
    [
      'tables.names',
      'a\tb',
      '--tables.names: must be names of 1 to 255 bytes of UTF-8 without "/", NUL or control characters, not "a\\tb"',
    ],
    ['dev-mode', 'maybe', '--dev-mode: must be true or false, not "maybe"'],
    ['log-level', 'loud', '--log-level: must be one of debug, info, warn, error, not "loud"'],
    [
      'storage.block-cache-size',
      'big',
      '--storage.block-cache-size: must be a size such as 16777216 or 16MiB, not "big"',
    ],
  ])('--%s %s is refused with a line that says what is wanted', (name, value, message) => {
    expect(refusal({ [name]: value }).message).toBe(message);
  });

  test('names that mean nothing here are accepted and told once', () => {
    const { notices } = load(
      { 'raft.logdb': 'tan' },
      { RAFT_LOGDB: 'tan', MEMBERLIST_ADDRESS: '0.0.0.0:7432' },
    );
    expect(notices).toEqual(
      [
        'memberlist.address is accepted and has no effect: members know each other by raft.initial-members',
        'raft.logdb is accepted and has no effect: the log has one format',
      ].sort((a, b) => (a.startsWith('raft') ? -1 : 1) - (b.startsWith('raft') ? -1 : 1)),
    );
  });

  test('a secret may come from a file, and is shown to nobody', () => {
    const { config } = load({}, { COXSWAIN_TABLES_TOKEN_FILE: '/run/token' }, { '/run/token': 's3cret\n' });
    expect(config['tables.token']).toBe('s3cret');
    const described = describeConfig(config);
    expect(described['tables.token']).toBe('**********');
    expect(JSON.stringify(described)).not.toContain('s3cret');
    expect(refusal({}, { TABLES_TOKEN_FILE: '/gone' }).message).toBe(
      'TABLES_TOKEN_FILE: no such file: /gone',
    );
  });

  test('every option is described in whole sentences, under one name and in one group', () => {
    for (const { name, description, isMeaningless } of configOptions) {
      expect(name).toMatch(/^[a-z0-9-]+(\.[a-z0-9-]+)*$/);
      expect(description).toMatch(isMeaningless ? /^[a-zA-Z].*[^.]$/ : /^[A-Za-z].*[.]$/);
    }
    const grouped = configGroups.flatMap(({ options }) => options);
    const withEffect = configOptions.filter(({ isMeaningless }) => !isMeaningless);
    expect(grouped.map(({ name }) => name).sort()).toEqual(withEffect.map(({ name }) => name).sort());
    expect(describeConfig(load().config)).toMatchObject({
      'raft.rtt': '50ms',
      'storage.history-retention': '5m',
    });
  });
});

describe('units', () => {
  test.each([
    ['50ms', 50],
    ['1s', 1_000],
    ['1.5s', 1_500],
    ['1h30m', 5_400_000],
    ['0', 0],
    ['5', undefined],
    ['-1s', undefined],
    ['', undefined],
  ])('the duration %j is %j ms', (text, expected) => {
    expect(parseDurationMs(text)).toBe(expected);
  });

  test('a duration beyond all numbers is none', () => {
    expect(parseDurationMs(`${'9'.repeat(400)}s`)).toBeUndefined();
  });

  test.each([
    ['16777216', 16_777_216],
    ['16MiB', 16_777_216],
    ['1 GB', 1e9],
    ['1.5KiB', 1_536],
    ['lots', undefined],
    ['99999999 gib', undefined],
    ['1constructor', undefined],
  ])('the size %j is %j bytes', (text, expected) => {
    expect(parseSizeBytes(text)).toBe(expected);
  });

  test.each([0, 1, 50, 1_000, 60_000, 90_000, 3_600_000])(
    '%j ms read back what they are written as',
    (ms) => {
      expect(parseDurationMs(formatDuration(ms))).toBe(ms);
    },
  );

  test.each([
    [0, '0'],
    [1_000, '1000'],
    [64 * 1024, '64KiB'],
    [1_536, '1536'],
    [1024 ** 3, '1GiB'],
  ])('%j bytes are written as %j, and read back', (sizeBytes, text) => {
    expect(formatSizeBytes(sizeBytes)).toBe(text);
    expect(parseSizeBytes(text)).toBe(sizeBytes);
  });
});
