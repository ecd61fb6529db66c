export interface Random {
  /** Returns a number that is uniform in [0, 1). */
  next(): number;
  bytes(lengthBytes: number): Buffer;
}
