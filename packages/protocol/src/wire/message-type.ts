import type { WireReader } from './wire-reader.js';
import type { WireWriter } from './wire-writer.js';

type Builtin = Uint8Array | string | number | boolean | bigint | undefined;

/** A message of which any property may be missing, at every depth; 64-bit integers also as numbers or decimal strings. */
export type DeepPartial<T> = T extends bigint
  ? string | number | bigint
  : T extends Builtin
    ? T
    : T extends Map<infer K, infer V>
      ? ReadonlyMap<K, DeepPartial<V>>
      : T extends readonly (infer U)[]
        ? readonly DeepPartial<U>[]
        : T extends { $case: string; value: unknown }
          ? { $case: T['$case']; value?: DeepPartial<T['value']> }
          : { [K in keyof T]?: DeepPartial<T[K]> };

/** What the generated code offers for each message type, under the type's name. */
export interface MessageType<T> {
  /**
   * Writes a whole message, as the next one of the writer that all encoders share unless it is given another.
   * `finish()` of what is returned gives the bytes.
   * @throws RangeError for an integer that does not fit into its field, or for nesting beyond 100 levels.
   * @throws TypeError for a bytes field that is no Uint8Array.
   */
  encode(message: T, writer?: WireWriter): WireWriter;
  /**
   * Reads a message: all of `input`, or its next `length` bytes. Bytes fields are views of the input.
   * @throws WireError when it is malformed.
   */
  decode(input: WireReader | Uint8Array, length?: number): T;
  /** Makes a whole message of what is given; the rest has its default. */
  create(base?: DeepPartial<T>): T;
  /** Makes a whole message of what is given; the rest has its default. */
  fromPartial(object: DeepPartial<T>): T;
}
