import { parseArgs } from 'node:util';

/**
 * The options of a check, each a text, by name; `defaults` holds what each is when it is not given. `--help` prints the
 * usage and ends the process, and so does, with exit code 2, an option that there is not.
 */
export function checkOptions(usage, defaults) {
  const texts = Object.entries(defaults).map(([name, text]) => [name, { type: 'string', default: text }]);
  try {
    const options = { ...Object.fromEntries(texts), help: { type: 'boolean', default: false } };
    const { help, ...values } = parseArgs({ options }).values;
    if (!help) return values;
    console.log(`usage: ${usage}`);
    process.exit(0);
  } catch (error) {
    console.error(`${error.message}\nusage: ${usage}`);
    process.exit(2);
  }
}
