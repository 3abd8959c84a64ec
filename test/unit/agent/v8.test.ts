import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { collectGarbage } from '#agent/v8.ts';

test('a collection takes what nobody holds any more, and leaves what is held', async () => {
  const held = { what: 'held' };
  const references = { held: new WeakRef(held), left: new WeakRef({ what: 'left' }) };
  // A reference keeps its object until the turn that looked at it ends.
  await turn();
  collectGarbage();
  assert.equal(references.left.deref(), undefined);
  assert.equal(references.held.deref(), held);
  assert.equal('gc' in globalThis, false);
});
