/**
 * Makes the records of this folder: `node test/replay/capture.ts [DAEMON...]` as root. Each is the life of one session with a real
 * daemon: up, routes both ways, reset by hand, the daemon killed, back again, and stopped.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Lab } from '#lab/lab.ts';
import { FlatrouteRouter } from '#lab/routers/flatroute.ts';
import type { RouterKind } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';
import {
  SHORT_HOLD_SECONDS,
  addRouterHost,
  description,
  established,
  left,
  linkAddress,
  linkHosts,
  makeRouter,
  peerOf,
  right,
} from '../interop/two-routers.ts';

const asked = process.argv.slice(2) as RouterKind[];
const kinds: readonly RouterKind[] = asked.length > 0 ? asked : ['bird', 'frr', 'gobgp', 'openbgpd'];
for (const kind of kinds) {
  const lab = await Lab.create(`record-${kind}`);
  try {
    const [a, b] = await Promise.all([addRouterHost(lab, 'left', left), addRouterHost(lab, 'right', right)]);
    await linkHosts(lab, 1, a, b);
    const daemon = makeRouter(kind, b, description(right, [peerOf(1, 1, 'left', left.asn)], SHORT_HOLD_SECONDS));
    const ours = new FlatrouteRouter(a, description(left, [peerOf(1, 2, 'right', right.asn)], SHORT_HOLD_SECONDS));
    await ours.agent.write(ours.configuration());
    await daemon.start();
    await ours.agent.start(seconds(30), ['--record', '/run/record']);
    const bothUp = async (): Promise<void> => {
      await Promise.all([established(ours), established(daemon)]);
      await waitFor(
        `the routes of ${kind}`,
        async () => {
          const stdout = await a.run(['ip', '-4', 'route', 'show', 'proto', '179']);
          return stdout.includes('10.2.0.0/24') ? found(undefined) : notYet('no route yet');
        },
        { deadline: seconds(30) },
      );
    };
    await bothUp();
    await ours.resetSession(linkAddress(1, 2));
    await bothUp();
    await daemon.stop('SIGKILL');
    await daemon.start();
    await bothUp();
    await ours.stop('SIGTERM');
    const text = await a.readFile('/run/record/right.jsonl');
    writeFileSync(join(import.meta.dirname, `${kind}.jsonl`), text);
    console.log(`${kind}: ${text.split('\n').length - 1} lines`);
  } finally {
    await lab.dispose();
  }
}
