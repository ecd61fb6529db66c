declare module 'fs-native-extensions' {
  /**
   * Locks a whole open file for this open file description alone, until it is closed. Returns false when another one
   * has the lock; throws the system's error when the file system has no locks.
   */
  export function tryLock(file: number): boolean;
}
