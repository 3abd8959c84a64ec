/**
 * Stands for an agent that has one BFD session: `bfd-owner.ts NEIGHBOUR [none] [external]` wants it, or none, and writes each
 * change as a JSON line. SIGTERM lets go of BFD's process.
 */
import { BfdLink } from '#agent/bfd-link.ts';
import { prepareRunDirectory } from '#agent/boot-identity.ts';
import { fastSession } from './bfd.ts';

const runDirectory = '/run/flatroute';
const [neighbour = '', ...words] = process.argv.slice(2);
const say = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
prepareRunDirectory(runDirectory);
const link = new BfdLink(
  { runDirectory, logLevel: 'info', external: words.includes('external') },
  {
    log: (_level, event, fields) => say({ event, ...fields }),
    changed: () => {
      const session = link.facts.sessions.find(({ name }) => name === 'router');
      say({ state: session?.state ?? 'unknown', failures: session?.failures, since: session?.since });
    },
  },
);
link.setSessions(words.includes('none') ? [] : [fastSession(neighbour)]);
const alive = setInterval(() => undefined, 60_000);
process.once('SIGTERM', () => {
  clearInterval(alive);
  link.close();
});
