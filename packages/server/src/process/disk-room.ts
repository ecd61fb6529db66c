import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Disks,
  describeShortage,
  type NodeOptions,
  roomWanted,
  roomWantedByNew,
  shortageOf,
} from '@coxswain/node';
import { isStoreFull } from '@coxswain/table';
import type { DataPaths } from './data-directory.js';
import { StartError } from './start-error.js';

/** Refuses a first start on a disk that is too small for it, before any data is made. Rejects with StartError. */
export async function checkFirstRoom(disks: Disks, paths: DataPaths, options: NodeOptions): Promise<void> {
  if (!isNew(paths)) return;
  const shortage = shortageOf(await disks.room(), roomWantedByNew(options));
  if (shortage === undefined) return;
  throw new StartError(`a new node has no room: ${describeShortage(shortage)}: make room and start again`);
}

/** Completes the error of a start that failed for lack of room: adds which disk lacks how much. */
export async function withRoom(
  error: StartError,
  disks: Disks,
  paths: DataPaths,
  options: NodeOptions,
): Promise<StartError> {
  if (!isStoreFull(error.cause)) return error;
  const wanted = isNew(paths) ? roomWantedByNew(options) : roomWanted(options, true);
  const shortage = shortageOf(await disks.room(), wanted);
  if (shortage === undefined) return error;
  return new StartError(`${error.message} (${describeShortage(shortage)})`, { cause: error });
}

function isNew({ root }: DataPaths): boolean {
  return !existsSync(join(root, 'node.json'));
}
