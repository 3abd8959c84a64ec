import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyRuleset } from '#dataplane/pod/io/nft.ts';
import { AppError } from '#lib/result.ts';

test('a folder for temporary files that takes none is no bug of ours: the rules are tried again', async () => {
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = '/proc';
  try {
    await assert.rejects(
      applyRuleset({ nftables: [] }),
      (error) =>
        error instanceof AppError && error.code === 'OS_ENOENT' && /write \/proc\/flatroute-nft-/.test(error.message),
    );
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  }
});
