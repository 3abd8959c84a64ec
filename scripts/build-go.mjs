// Builds programs as test/NAME/tools/go.mod pins them, with the machine's Go, into a folder of the user's cache, and prints
// that folder. Nothing is built where the same pins were built before.
//
//   node scripts/build-go.mjs NAME      NAME: a key of `sources`
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const sources = {
  multus: ['gopkg.in/k8snetworkplumbingwg/multus-cni.v4/cmd/multus'],
  gobgp: ['github.com/osrg/gobgp/v4/cmd/gobgpd', 'github.com/osrg/gobgp/v4/cmd/gobgp'],
};
const name = process.argv[2] ?? '';
if (!Object.hasOwn(sources, name)) {
  console.error(`node scripts/build-go.mjs NAME, with one of ${Object.keys(sources).join(', ')}`);
  process.exit(2);
}

const module = fileURLToPath(new URL(`../test/${name}/tools/`, import.meta.url));
const pins = createHash('sha256');
for (const file of ['go.mod', 'go.sum']) pins.update(readFileSync(join(module, file)));
const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
const target = join(cache, 'flatroute', `${name}-${pins.digest('hex').slice(0, 16)}`);

if (!existsSync(target)) {
  console.error(`flatroute: building ${name} into ${target}; from cold this takes a few minutes`);
  const temporary = `${target}.${process.pid}`;
  mkdirSync(temporary, { recursive: true });
  const built = spawnSync('go', ['build', '-trimpath', '-ldflags', '-s -w', '-o', `${temporary}/`, ...sources[name]], {
    cwd: module,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off', GOFLAGS: '-mod=readonly -buildvcs=false' },
    timeout: 30 * 60_000,
  });
  if (built.error?.code === 'ENOENT')
    console.error(`flatroute: there is no go in the PATH; ${name} needs Go 1.25 or later`);
  if (built.status !== 0) {
    rmSync(temporary, { recursive: true, force: true });
    process.exit(1);
  }
  // Another run may have built the same meanwhile.
  if (existsSync(target)) rmSync(temporary, { recursive: true, force: true });
  else renameSync(temporary, target);
}
console.log(target);
