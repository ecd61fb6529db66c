/**
 * The headers or trailers of a call, without those that HTTP and gRPC themselves use. Of several fields with the same
 * name it holds the first.
 */
export type Metadata = ReadonlyMap<string, string>;

const NAME = /^[a-z0-9_.-]+$/;
const VALUE = /^[ -~]*$/;

/**
 * Makes the metadata of a call. Throws an Error for a name or value that no header can hold, such as a token with a
 * line feed.
 */
export function metadataOf(entries: Readonly<Record<string, string>>): Metadata {
  for (const [name, value] of Object.entries(entries)) {
    if (!NAME.test(name)) throw new Error(`Metadata key "${name}" contains illegal characters`);
    if (!VALUE.test(value)) throw new Error(`Metadata string value "${value}" contains illegal characters`);
  }
  return new Map(Object.entries(entries));
}
