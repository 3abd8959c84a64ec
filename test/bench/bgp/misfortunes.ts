/**
 * What befalls a node whose engine is GoBGP, with a large table in its kernel: the agent is killed, gobgpd hangs, gobgpd is killed.
 * Each time one route is exchanged meanwhile: the kernel says when it is right again, and how many others were missing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '#lab/lab.ts';
import { FlatrouteRouter } from '#lab/routers/flatroute.ts';
import { AppError } from '#lib/result.ts';
import { behindBird, type Misfortune, spent, suffer } from './restart.ts';
import type { Answer, Subject } from './scene.ts';

/** Longer than GoBGP may be silent before it counts as one that hangs. */
const hangMilliseconds = 12_000;

export async function misfortunesOnce({ program }: Subject, size: number): Promise<Answer> {
  await using lab = await Lab.create('bench-misfortunes');
  let made: FlatrouteRouter | undefined;
  const scene = await behindBird(lab, size, (host, description) => {
    made = new FlatrouteRouter(host, {
      ...description,
      engine: 'gobgp',
      ...(program === undefined ? {} : { program }),
    });
    return made;
  });
  const { agent, sidecar } = made ?? {};
  if (agent === undefined || sidecar === undefined) throw new AppError('BUG_LAB_ROUTER', 'no gobgpd beside the agent');
  const kinds: Readonly<Record<string, Omit<Misfortune, 'nth'>>> = {
    agentKilled: {
      befall: async () => await agent.stop('SIGKILL'),
      mend: async () => await agent.start(),
    },
    gobgpdHangs: {
      befall: async () => await Promise.resolve(sidecar.process.kill('SIGSTOP')),
      mend: async () => {
        await sleep(hangMilliseconds);
        sidecar.process.kill('SIGCONT');
      },
    },
    gobgpdKilled: {
      befall: async () => await sidecar.stop('SIGKILL'),
      mend: async () => await sidecar.start(),
    },
  };
  const seen: Record<string, Answer> = {};
  for (const [nth, [name, kind]] of Object.entries(kinds).entries()) seen[name] = await suffer(scene, { nth, ...kind });
  return { whole: 1, wrong: 0, ...seen, ...spent(scene.host) };
}
