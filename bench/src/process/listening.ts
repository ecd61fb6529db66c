/** The answer of the servers among the workers to any request. */
export interface Listening {
  /** The address on loopback, as `host:port`. */
  readonly endpoint: string;
}
