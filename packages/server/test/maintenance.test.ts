import { describe } from '@jest/globals';
import { archiveService } from './maintenance/archive-service.js';
import { backupAgent } from './maintenance/backup-agent.js';
import { backupService } from './maintenance/backup-service.js';
import { mocoService } from './maintenance/moco-service.js';
import { restoreService } from './maintenance/restore-service.js';
import { snapshotHttp } from './maintenance/snapshot-http.js';

// In one file, since Jest loads the whole server anew for each: that takes as long as most of these take.
describe('the archive', archiveService);
describe('moco-agent', mocoService);
describe('restore', restoreService);
describe('backup', backupService);
describe('the backup agent', backupAgent);
describe('snapshots over HTTP', snapshotHttp);
