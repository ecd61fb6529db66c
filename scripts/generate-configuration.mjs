// Writes docs/configuration.md from the schema of options; with --check it only says whether the page is current.
import { environmentNames } from '../packages/server/dist/src/config/config.js';
import { configGroups, configOptions } from '../packages/server/dist/src/config/config-schema.js';
import { optionDefault, optionLimits, optionValue } from '../packages/server/dist/src/config/option-text.js';
import { generatedPage, markdownTable } from './generated-page.mjs';

const code = (text) => `\`${text}\``;
const names = new Set(configOptions.map(({ name }) => name));

/** Words in which the names of options are code. */
const words = (text) =>
  text
    .replaceAll('<', '&lt;')
    .replace(/[a-z-]+[.][a-z0-9-]+/g, (word) => (names.has(word) ? code(word) : word));

function row(option) {
  const only = option.onlyFor === undefined ? [] : [`${option.onlyFor} clusters only`];
  const value = [code(optionValue(option)), ...optionLimits(option), ...only];
  const byDefault = optionDefault(option);
  const isValue = option.whenEmpty === undefined && !byDefault.includes(' ');
  return [
    code(option.name),
    [`--${option.name}`, ...environmentNames(option)].map(code).join('<br>'),
    value.join('; '),
    isValue ? code(byDefault) : words(byDefault),
    words(option.description),
  ];
}

const head = ['option', 'flag, environment', 'value', 'default', 'what it does'];
const groups = configGroups.map(
  ({ title, options }) => `## ${title}\n\n${markdownTable(head, options.map(row))}`,
);
const withoutEffect = configOptions.filter(({ isMeaningless }) => isMeaningless);

generatedPage(
  'docs/configuration.md',
  `# Configuration

Made by \`scripts/generate-configuration.mjs\` from the schema of options, as is the text of \`coxswain leader --help\` and
\`coxswain follower --help\`. [Quickstart](quickstart.md#a-node-of-your-own) shows the few options that a cluster needs.

Every option can be given in three ways; the first that is there wins:

1. as a flag: \`--api.address http://0.0.0.0:8443\`. A switch may stand alone: \`--api.client-cert-auth\`.
2. in the environment: \`COXSWAIN_API_ADDRESS\`, and where Regatta has the option too, \`API_ADDRESS\` after it. More in
   [the environment of a node](operations.md#the-environment-of-a-node).
3. as a line of a YAML file: the one that \`--config\` names, else the first \`config.yaml\` or \`config.yml\` in
   \`/etc/coxswain\`, \`/etc/regatta\`, \`/config\`, \`$HOME/.coxswain\`, \`$HOME/.regatta\` and the working directory.
   \`--config ''\` reads none. Dotted and nested names mean the same.

A name that is no option stops the start. So does an option that cannot be used, with one line that says where it stands.
What the values are:

| value | written as |
| --- | --- |
| \`duration\` | \`50ms\`, \`1.5s\`, \`1h30m\`; units are \`ms\`, \`s\`, \`m\` and \`h\`; \`0\` needs none |
| \`size\` | \`16777216\`, \`16MiB\`; units are \`KiB\`, \`MiB\`, \`GiB\`, \`kB\`, \`MB\` and \`GB\`; without one, bytes |
| \`url\` of a listener | \`http://host:port\`, \`https://host:port\`, \`unix:///path\` or, with TLS, \`unixs:///path\` |
| \`names\`, \`addresses\` | separated by commas; names also as a YAML list |
| \`members\` | \`1=host-a:5012,2=host-b:5012\`, or a YAML map; each id and each address once |
| \`secret\` | text; instead of \`COXSWAIN_TABLES_TOKEN\`, \`COXSWAIN_TABLES_TOKEN_FILE\` can name a file that holds it. It is never shown or logged |

Listeners are on the loopback address by default. SIGHUP reads certificates, tokens and \`log-level\` again
([operations](operations.md#certificates-tokens-and-reloading)); everything else takes a restart.

${groups.join('\n\n')}

## Accepted and without effect

Names that Regatta's configuration has, so that its files can be used. The log says once that they do nothing here.

${markdownTable(
  ['option', 'why'],
  withoutEffect.map(({ name, description }) => [code(name), words(description)]),
)}
`,
);
