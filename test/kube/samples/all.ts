// Every sample: what test/unit/resources/samples.test.ts gives to this program and test/kube/crds.test.ts to the API server.
import { filters } from './filters.ts';
import { others } from './others.ts';
import { peers } from './peers.ts';
import type { Sample } from './sample.ts';

export const samples: readonly Sample[] = [...peers, ...filters, ...others];
