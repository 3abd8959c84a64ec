// Builds Multus as test/multus/tools/go.mod pins it, with the machine's Go, into a folder of the user's cache, and prints
// where it is. Nothing is built where the same pins were built before.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const module = fileURLToPath(new URL('../test/multus/tools/', import.meta.url));
const source = 'gopkg.in/k8snetworkplumbingwg/multus-cni.v4/cmd/multus';
const pins = createHash('sha256');
for (const file of ['go.mod', 'go.sum']) pins.update(readFileSync(join(module, file)));
const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
const target = join(cache, 'flatroute', `multus-${pins.digest('hex').slice(0, 16)}`, 'multus');

if (!existsSync(target)) {
  console.error(`flatroute: building Multus into ${target}; from cold this takes a few minutes`);
  mkdirSync(dirname(target), { recursive: true });
  const temporary = `${target}.${process.pid}`;
  const built = spawnSync('go', ['build', '-trimpath', '-ldflags', '-s -w', '-o', temporary, source], {
    cwd: module,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off', GOFLAGS: '-mod=readonly -buildvcs=false' },
    timeout: 30 * 60_000,
  });
  if (built.error?.code === 'ENOENT')
    console.error('flatroute: there is no go in the PATH; Multus needs Go 1.25 or later');
  if (built.status !== 0) process.exit(1);
  renameSync(temporary, target);
}
console.log(target);
