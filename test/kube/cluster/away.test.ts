// A cluster whose agents and whose API server are away for minutes. These mostly wait, so they have a cluster of their own beside that
// of cluster.test.ts.
import { step } from '../steps.ts';
import { withoutApi } from './api-away.ts';
import { underFlow } from './flow.ts';
import { everybodyAnswers } from './reach.ts';
import { scenariosOfCluster } from './scenarios.ts';
import { eachWithoutAgent, rollAgents, rollBack } from './upgrade.ts';

/** Milliseconds; less of it, for whoever works on these, proves less. */
const AGENT_AWAY = Number(process.env['FLATROUTE_AGENT_AWAY'] ?? 60_000);
const API_AWAY = Number(process.env['FLATROUTE_API_AWAY'] ?? 120_000);
/** Path of a tar with image flatroute:older (`scripts/image.mjs --name flatroute:older` in an older checkout): the agents go back to it. */
const OLDER_IMAGE = process.env['FLATROUTE_OLDER_IMAGE'];
const images = OLDER_IMAGE === undefined ? [] : [OLDER_IMAGE];

scenariosOfCluster('a cluster of two nodes without agents and without an API server', images, ({ scenario }) => {
  scenario(
    'no datagram is lost while the DaemonSet is rolled, and while each node in turn has no agent',
    async (cluster) =>
      await underFlow(cluster, async (told) => {
        await rollAgents(cluster);
        told('the DaemonSet was rolled');
        if (OLDER_IMAGE !== undefined) await rollBack(cluster, 'flatroute:older', told);
        await eachWithoutAgent(cluster, AGENT_AWAY, told);
      }),
  );

  scenario(
    'without the API server pods start and stop, sessions stay, an agent and a node come back',
    async (cluster) => {
      await withoutApi(cluster, API_AWAY);
      await step('everybody reaches everybody', everybodyAnswers(cluster));
    },
  );
});
