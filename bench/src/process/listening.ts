/** What the servers among the workers answer to any request. */
export interface Listening {
  /** `host:port` on loopback. */
  readonly endpoint: string;
}
