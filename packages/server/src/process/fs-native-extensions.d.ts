declare module 'fs-native-extensions' {
  /**
   * Locks a whole open file for this open file description alone, until it is closed. False when another has it;
   * throws the system's error where there are no locks.
   */
  export function tryLock(file: number): boolean;
}
