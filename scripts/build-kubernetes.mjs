// Builds the programs of a Kubernetes cluster as test/kube/tools pins them, with the machine's Go, into a folder of the user's
// cache, and prints that folder. A folder that the user names in FLATROUTE_KUBERNETES or KUBEBUILDER_ASSETS is taken as it is.
// What the same pins built before is not built again; a build that was broken off goes on where it was.
//
//   node scripts/build-kubernetes.mjs [--api-only] [PROGRAM...]      what is needed; --api-only: a control plane, and Helm
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { getPriority, homedir, setPriority } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const tools = fileURLToPath(new URL('../test/kube/tools/', import.meta.url));
const kubernetes = { module: tools, pins: /\sk8s\.io\/kubernetes (v\d+\.\d+\.\d+)/ };
const containerd = {
  module: join(tools, 'containerd'),
  pins: /\sgithub\.com\/containerd\/containerd\/v2 (v\d+\.\d+\.\d+)/,
  // Snapshotters that need libraries of C, and that no test uses.
  tags: 'no_btrfs,no_devmapper,no_zfs',
};
const helm = { module: join(tools, 'helm'), pins: /\shelm\.sh\/helm\/v3 (v\d+\.\d+\.\d+)/ };
/** What each program is built from; the first three are a control plane without controllers. */
const programs = {
  etcd: { ...kubernetes, source: 'go.etcd.io/etcd/server/v3' },
  'kube-apiserver': { ...kubernetes, source: 'k8s.io/kubernetes/cmd/kube-apiserver' },
  kubectl: { ...kubernetes, source: 'k8s.io/kubernetes/cmd/kubectl' },
  'kube-controller-manager': { ...kubernetes, source: 'k8s.io/kubernetes/cmd/kube-controller-manager' },
  'kube-scheduler': { ...kubernetes, source: 'k8s.io/kubernetes/cmd/kube-scheduler' },
  kubelet: { ...kubernetes, source: 'k8s.io/kubernetes/cmd/kubelet' },
  'kube-proxy': { ...kubernetes, source: 'k8s.io/kubernetes/cmd/kube-proxy' },
  agnhost: { ...kubernetes, source: 'k8s.io/kubernetes/test/images/agnhost' },
  containerd: { ...containerd, source: 'github.com/containerd/containerd/v2/cmd/containerd' },
  'containerd-shim-runc-v2': {
    ...containerd,
    source: 'github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2',
  },
  helm: { ...helm, source: 'helm.sh/helm/v3/cmd/helm' },
  ctr: { ...containerd, source: 'github.com/containerd/containerd/v2/cmd/ctr' },
};
/** Others use this machine as well. */
const NICE = 5;
const apiOnly = ['etcd', 'kube-apiserver', 'kubectl'];

const say = (line) => console.error(`flatroute: ${line}`);
const stop = (...lines) => {
  for (const line of lines) say(line);
  process.exit(1);
};

const words = process.argv.slice(2);
const named = words.filter((word) => !word.startsWith('-'));
const unknown = named.filter((name) => !Object.hasOwn(programs, name));
if (unknown.length > 0) stop(`no such program: ${unknown.join(', ')}; there are ${Object.keys(programs).join(', ')}`);
const wanted = named.length > 0 ? named : words.includes('--api-only') ? [...apiOnly, 'helm'] : Object.keys(programs);

const variable = ['FLATROUTE_KUBERNETES', 'KUBEBUILDER_ASSETS'].find((name) => process.env[name]);
if (variable !== undefined) {
  const directory = process.env[variable];
  const missing = apiOnly.filter((name) => !existsSync(join(directory, name)));
  if (missing.length > 0)
    stop(`${variable} is ${directory}, which has no ${missing.join(', ')}; unset it to have them built`);
  console.log(directory);
  process.exit(0);
}

/** How everything is built: static, so that a program runs in any image. */
const flags = ['-trimpath', '-mod=readonly'];
const environment = { ...process.env, CGO_ENABLED: '0', GOWORK: 'off', GOFLAGS: '' };

function versionOf(program) {
  const found = program.pins.exec(readFileSync(join(program.module, 'go.mod'), 'utf8'));
  if (found === null) return stop(`${join(program.module, 'go.mod')} does not say which version it wants`);
  return found[1];
}

function linkerFlags(program) {
  const version = versionOf(program);
  const [major, minor] = version.slice(1).split('.');
  if (program === programs.helm) return `-s -w -X helm.sh/helm/v3/internal/version.version=${version}`;
  const values =
    program.module === tools
      ? { gitVersion: version, gitMajor: major, gitMinor: minor, gitTreeState: 'clean' }
      : { Version: version };
  const at = program.module === tools ? 'k8s.io/component-base/version' : 'github.com/containerd/containerd/v2/version';
  return ['-s -w', ...Object.entries(values).map(([name, value]) => `-X ${at}.${name}=${value}`)].join(' ');
}

// Helm is no part of a cluster: another version of it makes no other folder. Delete the file after a change of its pins.
const ofCluster = Object.values(programs).filter((program) => program !== programs.helm);
const pins = createHash('sha256').update(JSON.stringify([flags, ofCluster.map(linkerFlags)]));
for (const module of [tools, containerd.module])
  for (const file of ['go.mod', 'go.sum']) pins.update(readFileSync(join(module, file)));
const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
const target = join(
  cache,
  'flatroute',
  `kubernetes-${versionOf(kubernetes).slice(1)}-${pins.digest('hex').slice(0, 12)}`,
);

/** What is being written now, and who writes it: taken away when this is broken off. */
let running;
let temporary;
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
])
  process.once(signal, () => {
    running?.kill('SIGTERM');
    if (temporary !== undefined) rmSync(temporary, { force: true });
    say('broken off; the next run goes on from what is compiled');
    process.exit(code);
  });

/** Held until this process ends, however it ends: the kernel frees an abstract socket's name with its owner. */
async function lock() {
  for (let told = false; ; told = true) {
    const server = createServer();
    const held = await new Promise((done, failed) => {
      server.once('error', (error) => (error.code === 'EADDRINUSE' ? done(false) : failed(error)));
      server.listen(`\0flatroute-${createHash('sha256').update(target).digest('hex').slice(0, 16)}`, () => done(true));
    });
    if (held) return server.unref();
    if (!told) say('another run is building the programs of Kubernetes; waiting for it');
    await new Promise((done) => setTimeout(done, 500));
  }
}

const minutes = (since) => {
  const seconds = Math.round((performance.now() - since) / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
};

async function build(name, place) {
  const program = programs[name];
  const started = performance.now();
  const line = `${name} ${program.source.includes('etcd') ? '' : versionOf(program)}`.trim();
  say(`building ${line} (${place}) ...`);
  temporary = join(target, `.${name}.${process.pid}`);
  const tags = program.tags === undefined ? [] : ['-tags', program.tags];
  const argv = ['build', ...flags, ...tags, '-ldflags', linkerFlags(program), '-o', temporary, program.source];
  const child = spawn('go', argv, { cwd: program.module, stdio: ['ignore', 2, 2], env: environment });
  running = child;
  const still = setInterval(() => say(`  ${name}: still building after ${minutes(started)}`), 60_000);
  const ended = await new Promise((done) => {
    child.once('error', (error) => done({ error }));
    child.once('exit', (code, signal) => done({ code, signal }));
  });
  clearInterval(still);
  running = undefined;
  if (ended.code !== 0) {
    rmSync(temporary, { force: true });
    if (ended.error?.code === 'ENOENT')
      stop(
        'there is no go in the PATH. Kubernetes is built with Go 1.25 or later; install it,',
        'or name a directory that has the programs in FLATROUTE_KUBERNETES or KUBEBUILDER_ASSETS.',
      );
    stop(
      `${name} could not be built (${ended.error?.message ?? ended.signal ?? `exit ${ended.code}`}); the words of go are above.`,
      'Modules come from the Go module proxy (`go env GOPROXY`): it must be reachable once. Without a network, name a',
      'directory that has the programs in FLATROUTE_KUBERNETES or KUBEBUILDER_ASSETS.',
    );
  }
  renameSync(temporary, join(target, name));
  temporary = undefined;
  say(`  ${name}: ${Math.round(statSync(join(target, name)).size / 1e6)} MB after ${minutes(started)}`);
}

const lacking = () => wanted.filter((name) => !existsSync(join(target, name)));

if (lacking().length > 0) {
  mkdirSync(target, { recursive: true });
  const held = await lock();
  // With the lock held, what is half written belongs to a run that was killed.
  for (const file of readdirSync(target)) if (file.startsWith('.')) rmSync(join(target, file), { force: true });
  const missing = lacking();
  const started = performance.now();
  if (missing.length > 0) {
    say(`building ${missing.length} programs of Kubernetes into ${target};`);
    say('  from cold this takes about ten minutes on two quiet cores, and it is done once');
    if (getPriority() < NICE) setPriority(NICE);
  }
  for (const [index, name] of missing.entries()) await build(name, `${index + 1} of ${missing.length}`);
  if (missing.length > 0) say(`programs of Kubernetes built after ${minutes(started)}`);
  held.close();
}
console.log(target);
