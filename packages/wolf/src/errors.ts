import { wolfRaft } from '@coxswain/protocol';

export type WolfErrorCode = Exclude<
  wolfRaft.ErrorCode,
  wolfRaft.ErrorCode.RAFT_UNDEFINED_ERROR | wolfRaft.ErrorCode.UNRECOGNIZED
>;

/**
 * The refusal of a call of wolf.raft. It travels in the answer's `error_res`, with gRPC status OK (trap 4); its code is
 * one of 1 to 6.
 */
export class WolfError extends Error {
  override readonly name = 'WolfError';
  constructor(
    readonly code: WolfErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** The refusal of a call whose sender, the member `claimant`, claims to lead in a `term` that has another leader. */
export class SecondLeader extends WolfError {
  constructor(
    code: WolfErrorCode,
    message: string,
    readonly term: number,
    readonly claimant: number,
  ) {
    super(code, message);
  }
}

const { ErrorCode } = wolfRaft;

const declare =
  <Args extends unknown[]>(code: WolfErrorCode, text: (...args: Args) => string) =>
  (...args: Args): WolfError =>
    new WolfError(code, text(...args));

/** Declares every refusal of this package, once. */
export const wolfErrors = {
  jsonNotValid: declare(
    ErrorCode.RAFT_APPEND_ENTRIES_JSON_OF_REQ_IS_NOT_VALID,
    (reason: string, at: number) => `req is not the JSON of an AppendEntries: ${reason} at character ${at}`,
  ),
  appendFailed: declare(ErrorCode.RAFT_APPEND_ENTRIES_FAILED, (reason: string) => reason),
  snapshotFailed: declare(ErrorCode.RAFT_INSTALL_SNAPSHOT_FAILED, (reason: string) => reason),
  voteFailed: declare(ErrorCode.RAFT_VOTE_FAILED, (reason: string) => reason),
  bootstrapFailed: declare(ErrorCode.RAFT_BOOTSTRAP_FAILED, (reason: string) => reason),
};
