import { type RevisionCompactedError, type RevisionInFutureError, TableError } from '@coxswain/table';
import { errors } from '../api/errors.js';
import { isTableName } from './table-name.js';

/**
 * Gives the API's error for an error that a read of a table has thrown. A table that is half-way through an entry after
 * a crash (A4), was closed under its reader, or is rebuilt from its peers because its files are damaged (D4), can be
 * read in a moment: `notReady`. An error of another kind, or one that shows that something is broken, is given back as
 * it is.
 */
export function tableApiError(error: unknown): unknown {
  if (!(error instanceof TableError)) return error;
  switch (error.code) {
    case 'revisionCompacted':
      return errors.revisionCompacted((error as RevisionCompactedError).historyFloor);
    case 'revisionInFuture':
      return errors.revisionInFuture((error as RevisionInFutureError).appliedRevision);
    case 'responseTooLarge':
      return errors.responseTooLarge();
    case 'closed':
    case 'halfApplied':
    case 'storeDamaged':
      return errors.notReady();
    default:
      return error;
  }
}

/** Throws `nameNotSet` or `nameInvalid` for a name that no table may have (T5). */
export function checkTableName(name: string): void {
  if (name === '') throw errors.nameNotSet();
  if (!isTableName(name)) throw errors.nameInvalid();
}
