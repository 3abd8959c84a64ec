/**
 * Asks an agent of the demo over its admin socket, from outside of its host: the same answers that the command line
 * prints, without a process for each look. What the demo shows to people comes from the command line itself.
 */
import type { AgentQuestions, Asking } from '#lab/node-agent.ts';
import { ADMIN_SOCKET, generationOf } from '#lab/node-agent.ts';
import type { AgentClient } from '../client.ts';
import { connectAgent } from '../client.ts';

export const askByAdminApi: Asking = (host) => {
  // A connection for each question: the agent behind the socket may be another one the next time.
  const ask = async <T>(question: (client: AgentClient) => Promise<T>): Promise<T> => {
    host.expectAlive();
    const client = await connectAgent(host.path(ADMIN_SOCKET));
    try {
      return await question(client);
    } finally {
      client.close();
    }
  };
  const questions: AgentQuestions = {
    state: async () => await ask(async (client) => (await client.status()).state),
    peers: async () => await ask(async (client) => await client.peers(undefined)),
    routes: async (which) => await ask(async (client) => (await client.routes({ direction: which ?? 'best' })).routes),
    generation: async () => generationOf(await ask(async (client) => await client.status())),
    pods: async () => await ask(async (client) => await client.pods()),
    reset: async (peer, how) => await ask(async (client) => await client.reset(peer, how === 'soft')),
  };
  return questions;
};
