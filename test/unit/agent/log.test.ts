import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

test('the last line of a process that kills itself is written', () => {
  const code = `
    import { createLog } from ${JSON.stringify(import.meta.resolve('#agent/log.ts'))};
    const log = createLog('info', () => undefined);
    log.write('error', 'last.words', {});
    await log.close();
    process.kill(process.pid, 'SIGKILL');`;
  const { stdout, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  assert.equal(signal, 'SIGKILL');
  assert.match(stdout, /"event":"last\.words"/);
});
