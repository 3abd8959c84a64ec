import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { networkdManagesForeign } from '#dataplane/networkd.ts';

describe('networkdManagesForeign', () => {
  const rows: readonly (readonly [string, readonly string[], boolean])[] = [
    ['nothing set: it does', [], true],
    ['both off', ['[Network]\nManageForeignRoutes=no\nManageForeignNextHops = false\n'], false],
    ['one off', ['[Network]\nManageForeignRoutes=no\n'], true],
    ['off in two files', ['ManageForeignRoutes=0', 'ManageForeignNextHops=off'], false],
    ['a later file turns it on', ['ManageForeignRoutes=no\nManageForeignNextHops=no', 'ManageForeignRoutes=yes'], true],
    ['a comment', ['#ManageForeignRoutes=no\n;ManageForeignNextHops=no'], true],
  ];
  for (const [name, texts, expected] of rows) test(name, () => assert.equal(networkdManagesForeign(texts), expected));
});
