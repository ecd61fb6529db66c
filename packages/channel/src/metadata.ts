/** What a call's headers or trailers hold beside what HTTP and gRPC themselves use; of a name that comes twice the first. */
export type Metadata = ReadonlyMap<string, string>;

const NAME = /^[a-z0-9_.-]+$/;
const VALUE = /^[ -~]*$/;

/** Metadata of a call that is to be made. Throws an Error for what no header can hold, such as a token with a line feed. */
export function metadataOf(entries: Readonly<Record<string, string>>): Metadata {
  for (const [name, value] of Object.entries(entries)) {
    if (!NAME.test(name)) throw new Error(`Metadata key "${name}" contains illegal characters`);
    if (!VALUE.test(value)) throw new Error(`Metadata string value "${value}" contains illegal characters`);
  }
  return new Map(Object.entries(entries));
}
