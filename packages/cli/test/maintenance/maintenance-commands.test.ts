import { describe } from '@jest/globals';
import { agentBackup } from './agent-backup.js';
import { archiveCommands } from './archive-commands.js';
import { oddNames } from './odd-names.js';
import { restoreArchive } from './restore-archive.js';
import { restoreStock } from './restore-stock.js';

// In one file, since Jest loads the whole command anew for each: that takes as long as most of these take.
describe('the archive', archiveCommands);
describe('a restore from the archive', restoreArchive);
describe('backups by the agent', agentBackup);
describe('names of tables', oddNames);
describe('a restore into a stock cluster', restoreStock);
