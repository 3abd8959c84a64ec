// Builds programs that tests use as the modules under test pin them, with the machine's Go, into a folder of the user's cache,
// and prints that folder. What the same pins built before is not built again; a build that was broken off goes on where it was.
// For Kubernetes a folder that the user names in FLATROUTE_KUBERNETES or KUBEBUILDER_ASSETS is taken as it is.
//
//   node scripts/build-go.mjs kubernetes|multus|gobgp [--api-only] [PROGRAM...]
//
// --api-only: of Kubernetes a control plane without controllers, and Helm.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { getPriority, homedir, setPriority } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const tests = fileURLToPath(new URL('../test/', import.meta.url));
/** Of Kubernetes a control plane without controllers. */
const apiServer = ['etcd', 'kube-apiserver', 'kubectl'];
/** What is built together, by module: in one module what its programs have in common has one version, and is compiled once. */
const sets = {
  kubernetes: {
    called: 'Kubernetes',
    takes: 'ten minutes',
    /** Folders of the user's that have the programs already. */
    folders: ['FLATROUTE_KUBERNETES', 'KUBEBUILDER_ASSETS'],
    modules: [
      {
        directory: join(tests, 'kube/tools/'),
        pins: /\sk8s\.io\/kubernetes (v\d+\.\d+\.\d+)/,
        tags: [],
        variables: (version) => {
          const [major, minor] = version.slice(1).split('.');
          const values = { gitVersion: version, gitMajor: major, gitMinor: minor, gitTreeState: 'clean' };
          return Object.entries(values).map(([name, value]) => `k8s.io/component-base/version.${name}=${value}`);
        },
        sources: {
          etcd: 'go.etcd.io/etcd/server/v3',
          'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
          kubectl: 'k8s.io/kubernetes/cmd/kubectl',
          helm: 'helm.sh/helm/v3/cmd/helm',
          'kube-controller-manager': 'k8s.io/kubernetes/cmd/kube-controller-manager',
          'kube-scheduler': 'k8s.io/kubernetes/cmd/kube-scheduler',
          kubelet: 'k8s.io/kubernetes/cmd/kubelet',
          'kube-proxy': 'k8s.io/kubernetes/cmd/kube-proxy',
        },
      },
      {
        directory: join(tests, 'kube/tools/containerd'),
        pins: /\sgithub\.com\/containerd\/containerd\/v2 (v\d+\.\d+\.\d+)/,
        // Snapshotters that need libraries of C, and that no test uses.
        tags: ['no_btrfs', 'no_devmapper', 'no_zfs'],
        variables: (version) => [`github.com/containerd/containerd/v2/version.Version=${version}`],
        sources: {
          containerd: 'github.com/containerd/containerd/v2/cmd/containerd',
          'containerd-shim-runc-v2': 'github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2',
          ctr: 'github.com/containerd/containerd/v2/cmd/ctr',
        },
      },
    ],
  },
  multus: {
    called: 'Multus',
    takes: 'two minutes',
    folders: [],
    modules: [
      {
        directory: join(tests, 'multus/tools'),
        pins: /\sgopkg\.in\/k8snetworkplumbingwg\/multus-cni\.v4 (v\d+\.\d+\.\d+)/,
        tags: [],
        variables: () => [],
        sources: { multus: 'gopkg.in/k8snetworkplumbingwg/multus-cni.v4/cmd/multus' },
      },
    ],
  },
  gobgp: {
    called: 'GoBGP',
    takes: 'a minute',
    folders: [],
    modules: [
      {
        directory: join(tests, 'gobgp/tools'),
        pins: /\sgithub\.com\/osrg\/gobgp\/v4 (v\d+\.\d+\.\d+)/,
        tags: [],
        variables: () => [],
        sources: { gobgpd: 'github.com/osrg/gobgp/v4/cmd/gobgpd', gobgp: 'github.com/osrg/gobgp/v4/cmd/gobgp' },
      },
    ],
  },
};
/** Others use this machine as well. */
const NICE = 5;

const say = (line) => console.error(`flatroute: ${line}`);
const stop = (...lines) => {
  for (const line of lines) say(line);
  process.exit(1);
};

const [setName = '', ...words] = process.argv.slice(2);
if (!Object.hasOwn(sets, setName)) stop(`what is to be built: one of ${Object.keys(sets).join(', ')}`);
const set = sets[setName];
const programs = set.modules.flatMap(({ sources }) => Object.keys(sources));
const named = words.filter((word) => !word.startsWith('-'));
const unknown = named.filter((name) => !programs.includes(name));
if (unknown.length > 0) stop(`no such program: ${unknown.join(', ')}; there are ${programs.join(', ')}`);
const wanted = named.length > 0 ? named : words.includes('--api-only') ? [...apiServer, 'helm'] : programs;

const variable = set.folders.find((name) => process.env[name]);
if (variable !== undefined) {
  const directory = process.env[variable];
  const missing = apiServer.filter((name) => !existsSync(join(directory, name)));
  if (missing.length > 0)
    stop(`${variable} is ${directory}, which has no ${missing.join(', ')}; unset it to have them built`);
  console.log(directory);
  process.exit(0);
}

/** How everything is built: static, so that a program runs in any image. */
const flags = ['-trimpath', '-mod=readonly'];
const environment = { ...process.env, CGO_ENABLED: '0', GOWORK: 'off', GOFLAGS: '' };

function versionOf({ directory, pins }) {
  const found = pins.exec(readFileSync(join(directory, 'go.mod'), 'utf8'));
  if (found === null) return stop(`${join(directory, 'go.mod')} does not say which version it wants`);
  return found[1];
}

const flagsOf = (module) => [
  ...flags,
  ...(module.tags.length > 0 ? ['-tags', module.tags.join()] : []),
  '-ldflags',
  ['-s -w', ...module.variables(versionOf(module)).map((value) => `-X ${value}`)].join(' '),
];

const pins = createHash('sha256').update(
  JSON.stringify(set.modules.map((module) => [flagsOf(module), module.sources])),
);
for (const { directory } of set.modules)
  for (const file of ['go.mod', 'go.sum']) pins.update(readFileSync(join(directory, file)));
const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
const target = join(
  cache,
  'flatroute',
  `${setName}-${versionOf(set.modules[0]).slice(1)}-${pins.digest('hex').slice(0, 12)}`,
);

/** Who compiles now, and the folder that it writes: taken away when this is broken off. */
let running;
const temporary = join(target, `.${process.pid}`);
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
])
  process.once(signal, () => {
    running?.kill('SIGTERM');
    rmSync(temporary, { recursive: true, force: true });
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
    if (!told) say(`another run is building ${set.called}; waiting for it`);
    await new Promise((done) => setTimeout(done, 500));
  }
}

const minutes = (since) => {
  const seconds = Math.round((performance.now() - since) / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
};

/** go names a program after the last part of its path that is no version. */
const writtenAs = (source) => source.split('/').findLast((part) => !/^v\d+$/.test(part));

/**
 * All of these by one `go build`: while one is linked, which keeps one processor, others go on.
 */
async function build(module, names) {
  const started = performance.now();
  say(`building ${names.join(', ')} (${versionOf(module)}) ...`);
  mkdirSync(temporary, { recursive: true });
  const argv = ['build', '-v', ...flagsOf(module), '-o', `${temporary}/`, ...names.map((name) => module.sources[name])];
  const child = spawn('go', argv, { cwd: module.directory, stdio: ['ignore', 2, 'pipe'], env: environment });
  running = child;
  let [packages, other] = [0, ''];
  // With -v each package is a line, and so is each module that is fetched.
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (/^[\w.~/-]+$/.test(line)) packages += 1;
    else if (!line.startsWith('go: downloading ')) other += `${line}\n`;
  });
  const still = setInterval(() => say(`  ${packages} packages compiled after ${minutes(started)}`), 60_000);
  const ended = await new Promise((done) => {
    child.once('error', (error) => done({ error }));
    child.once('close', (code, signal) => done({ code, signal }));
  });
  clearInterval(still);
  running = undefined;
  if (ended.code !== 0) {
    rmSync(temporary, { recursive: true, force: true });
    const otherwise =
      set.folders.length > 0 ? [`A folder that has the programs can be named in ${set.folders.join(' or ')}.`] : [];
    if (ended.error?.code === 'ENOENT')
      stop(`there is no go in the PATH. ${set.called} is built with Go 1.25 or later; install it.`, ...otherwise);
    process.stderr.write(other);
    stop(
      `they could not be built (${ended.error?.message ?? ended.signal ?? `exit ${ended.code}`}); the words of go are above.`,
      'Modules come from the Go module proxy (`go env GOPROXY`): it must be reachable once.',
      ...otherwise,
    );
  }
  for (const name of names) renameSync(join(temporary, writtenAs(module.sources[name])), join(target, name));
  rmSync(temporary, { recursive: true, force: true });
  say(`  ${packages} packages compiled, ${names.length} linked after ${minutes(started)}`);
}

const lacking = () => wanted.filter((name) => !existsSync(join(target, name)));

if (lacking().length > 0) {
  mkdirSync(target, { recursive: true });
  const held = await lock();
  // With the lock held, what is half written belongs to a run that was killed.
  for (const file of readdirSync(target))
    if (file.startsWith('.')) rmSync(join(target, file), { recursive: true, force: true });
  const missing = lacking();
  const started = performance.now();
  if (missing.length > 0) {
    say(`building ${set.called} into ${target};`);
    say(`  from cold this takes about ${set.takes} on two quiet cores, and it is done once`);
    if (getPriority() < NICE) setPriority(NICE);
  }
  for (const module of set.modules) {
    const names = missing.filter((name) => Object.hasOwn(module.sources, name));
    if (names.length > 0) await build(module, names);
  }
  if (missing.length > 0) say(`${set.called} built after ${minutes(started)}`);
  held.close();
}
console.log(target);
