import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new, empty directory below the system's directory for temporary files. */
export class TemporaryDirectory {
  readonly path = mkdtempSync(join(tmpdir(), 'coxswain-test-'));

  /** Removes the directory and all that it holds. Doing it again is harmless. */
  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
