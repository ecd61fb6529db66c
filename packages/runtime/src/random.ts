export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  bytes(lengthBytes: number): Buffer;
}
