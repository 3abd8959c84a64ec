// Says where the programs of Kubernetes are, as test/kube/tools/go.mod pins them, in a folder of the user's cache.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const module = fileURLToPath(new URL('../test/kube/tools/', import.meta.url));
const pins = createHash('sha256');
for (const file of ['go.mod', 'go.sum']) pins.update(readFileSync(join(module, file)));
const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
const target = join(cache, 'flatroute', `kubernetes-${pins.digest('hex').slice(0, 16)}`);

const given = process.env.FLATROUTE_KUBERNETES || process.env.KUBEBUILDER_ASSETS;
const directory = given || target;
if (!existsSync(join(directory, 'kube-apiserver'))) {
  console.error(`flatroute: no kube-apiserver in ${directory}`);
  process.exit(1);
}
console.log(directory);
