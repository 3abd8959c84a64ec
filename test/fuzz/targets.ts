/**
 * What is fuzzed: every decoder of octets or text that comes from outside this program. A target runs one input and throws when
 * something is wrong: beside "never throws" that is what must hold for any input, such as "written again it reads the same".
 */
import { bfdTargets } from './targets/bfd.ts';
import { bgpTargets } from './targets/bgp.ts';
import { cniTargets } from './targets/cni.ts';
import { engineTarget } from './targets/engine.ts';
import { kernelTargets } from './targets/kernel.ts';
import type { Target } from './target.ts';
import { textTargets } from './targets/text.ts';

export const targets: readonly Target[] = [
  ...bgpTargets,
  engineTarget,
  ...bfdTargets,
  ...kernelTargets,
  ...cniTargets,
  ...textTargets,
];
