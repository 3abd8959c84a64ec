#!/usr/bin/env node
// The first thing every command runs, in plain JavaScript for Node 18 and later, because nothing is installed yet.
// It installs what the command needs (npm packages from the lock file, Node 26, Debian packages when root), enters a user
// namespace when not root, and hands over. It says what it does, and what is missing where it cannot.
//
//   node scripts/bootstrap.mjs COMMAND [ARGUMENTS]      COMMAND: one of `commands` below
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const modules = join(root, 'node_modules');
const stamp = join(modules, '.flatroute-installed');
const installing = join(root, '.flatroute', 'installing');

/** Programs of Debian that a command needs: how to see that it is there, the package that brings it, and why. */
const debian = {
  ip: { test: () => onPath('ip'), package: 'iproute2', why: 'network namespaces, links and routes of the lab' },
  unshare: { test: () => onPath('unshare'), package: 'util-linux', why: 'namespaces of the lab' },
  ps: { test: () => onPath('ps'), package: 'procps', why: 'to see that no process is left behind' },
  ping: { test: () => onPath('ping'), package: 'iputils-ping', why: 'to see who reaches whom' },
  traceroute: { test: () => onPath('traceroute'), package: 'traceroute', why: 'the trace of a path in the demo' },
  nft: { test: () => onPath('nft'), package: 'nftables', why: 'the rules against forged source addresses' },
  iptables: {
    test: () => onPath('iptables'),
    package: 'iptables',
    why: 'the portmap plugin that runs behind flatroute',
  },
  conntrack: {
    test: () => onPath('conntrack'),
    package: 'conntrack',
    why: 'to see that no connection outlives its pod',
  },
  portmap: {
    test: () => existsSync('/usr/lib/cni/portmap') || existsSync('/opt/cni/bin/portmap'),
    package: 'containernetworking-plugins',
    why: 'the CNI plugins that run behind flatroute, and beside it in the benchmark',
  },
  compiler: {
    test: () => onPath('musl-gcc'),
    package: 'musl-tools',
    why: 'the CNI plugin is a static C program',
  },
  certificates: {
    test: () => existsSync('/etc/ssl/certs/ca-certificates.crt'),
    package: 'ca-certificates',
    why: 'the image holds them',
  },
  containerd: {
    test: () => onPath('containerd') && onPath('runc'),
    package: 'containerd',
    why: 'a real container runtime that runs the CNI plugin',
  },
  openssl: { test: () => onPath('openssl'), package: 'openssl', why: 'the certificates of a control plane' },
  iperf3: { test: () => onPath('iperf3'), package: 'iperf3', why: 'load between pods in the benchmark of paths' },
  bird: { test: () => onPath('bird'), package: 'bird2', why: 'a real router to talk to' },
  frr: { test: () => existsSync('/usr/lib/frr/bgpd'), package: 'frr', why: 'a real router to talk to' },
  gobgp: { test: () => onPath('gobgpd') && onPath('gobgp'), package: 'gobgpd', why: 'a real router to talk to' },
  prometheus: {
    test: () => onPath('prometheus') && onPath('promtool'),
    package: 'prometheus',
    why: 'a real Prometheus that scrapes agents, and tests the alerts',
  },
  chromium: {
    test: () => onPath('chromium'),
    package: 'chromium',
    why: 'pictures of the pages of Prometheus, for the docs',
  },
  openbgpd: { test: () => onPath('bgpctl'), package: 'openbgpd', why: 'a real router to talk to' },
};

/** The daemons that judge flatroute's speaker. */
const judges = ['bird', 'frr', 'gobgp', 'openbgpd'];
/** The routers change to users of their own, which a user namespace of one id cannot do; the runtime makes devices and cgroups. */
const rootOnly = ['frr', 'openbgpd', 'containerd'];

const lab = ['ip', 'unshare', 'ps', 'ping', 'traceroute', 'nft', 'iptables', 'conntrack', 'portmap', 'compiler'];

/**
 * What each command runs once all is installed. `debian`: what it needs of the machine; `namespaces`: it makes network
 * namespaces, so without root it goes on inside a user namespace; `plugin`: the CNI plugin must be built; `multus`: Multus too,
 * with the machine's Go; `gobgp4`: GoBGP 4 the same way, in front of Debian's; `kubernetes`: the programs of Kubernetes, found or
 * built; `otherwise`: the arguments when none is given.
 */
const commands = {
  demo: { run: ['src/main.ts', 'demo'], debian: lab, namespaces: true, plugin: true, router: true },
  test: { run: ['scripts/test.mjs'], debian: [...lab, 'containerd', ...judges], namespaces: true, plugin: true },
  'test:multus': {
    run: ['scripts/test.mjs', 'test/multus/*.test.ts'],
    debian: lab,
    namespaces: true,
    plugin: true,
    multus: true,
  },
  'test:gobgp4': {
    run: ['scripts/test.mjs', '--test-name-pattern=/gobgp|engine of a running node/i'],
    otherwise: [
      'test/contract/engine.test.ts',
      'test/netns/bgp/gobgp*.test.ts',
      'test/netns/bgp/engine-change.test.ts',
      'test/interop/unnumbered.test.ts',
    ],
    debian: [...lab, 'bird', 'frr'],
    namespaces: true,
    plugin: true,
    gobgp4: true,
  },
  'test:kube': {
    // A scenario of a cluster takes minutes. Every file brings daemons of its own and waits for most of its time, so three share
    // two cores. The runner sorts paths: whole ones come first, and a cluster takes longest.
    run: ['scripts/test.mjs', '--test-timeout=2700000', '--test-concurrency=3'],
    otherwise: [join(root, 'test/kube/cluster/*.test.ts'), 'test/kube/*.test.ts'],
    debian: [...lab, 'containerd', 'openssl', 'prometheus'],
    namespaces: true,
    plugin: true,
    kubernetes: true,
  },
  pictures: {
    run: ['test/kube/monitoring-pictures.ts'],
    debian: [...lab, 'prometheus', 'chromium'],
    namespaces: true,
  },
  check: { run: ['scripts/check.mjs'], debian: [] },
  fix: { run: ['scripts/check.mjs', '--fix'], debian: [] },
  bench: {
    run: ['test/bench/main.ts'],
    debian: [...lab, 'containerd', ...judges, 'iperf3'],
    namespaces: true,
    plugin: true,
  },
  fuzz: { run: ['test/fuzz/main.ts'], debian: [] },
  generate: { run: ['scripts/generate.ts'], debian: [] },
  build: { run: ['scripts/build.mjs'], debian: ['compiler'], plugin: true },
  image: { run: ['scripts/image.mjs'], debian: ['compiler', 'nft', 'certificates'], plugin: true },
  'build:plugin': { run: ['scripts/build-plugin.mjs'], debian: ['compiler'] },
  flatroute: { run: ['src/main.ts'], debian: [] },
};

const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'];

const say = (line) => process.stderr.write(`${line}\n`);

function stop(...lines) {
  for (const line of lines) say(line);
  process.exit(1);
}

function whereIs(program) {
  const folders = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`.split(':');
  return folders.map((folder) => join(folder, program)).find((file) => file.startsWith('/') && existsSync(file));
}

const onPath = (program) => whereIs(program) !== undefined;

/** Held until this process ends, however it ends: the kernel frees an abstract socket's name with its owner. */
async function withInstallLock(action) {
  const name = `\0flatroute-install-${createHash('sha256').update(root).digest('hex').slice(0, 16)}`;
  const deadline = Date.now() + 15 * 60_000;
  for (let told = false; ; ) {
    const server = createServer();
    const held = await new Promise((done, failed) => {
      server.once('error', (error) => (error.code === 'EADDRINUSE' ? done(false) : failed(error)));
      server.listen(name, () => done(true));
    });
    if (held) {
      try {
        return await action();
      } finally {
        server.close();
      }
    }
    if (Date.now() > deadline)
      stop('flatroute: another run has been installing in this folder for 15 minutes; end it, then try again.');
    if (!told) say('flatroute: another run is installing in this folder; waiting for it.');
    told = true;
    await new Promise((done) => setTimeout(done, 250));
  }
}

function lockHash() {
  return createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
}

function installPackages() {
  const wanted = lockHash();
  const interrupted = existsSync(installing);
  if (!interrupted && existsSync(stamp) && readFileSync(stamp, 'utf8').trim() === wanted) return;
  const npm = onPath('npm') ? 'npm' : undefined;
  if (npm === undefined)
    stop('flatroute: npm is missing. Install Node.js 18 or later together with npm, then run this again.');
  say(
    `flatroute: installing npm packages (${interrupted ? 'the last install was interrupted' : existsSync(stamp) ? 'the lock file changed' : 'first run'}) ...`,
  );
  mkdirSync(dirname(installing), { recursive: true });
  writeFileSync(installing, wanted);
  // `install` changes only what differs, so that a run that is still going on keeps its packages. It follows the lock file to
  // the letter for what that lists; `ci` would also insist on builds for platforms that a mirror of the registry may not carry.
  if (interrupted) rmSync(modules, { recursive: true, force: true });
  const env = { ...process.env, NODE_ENV: '', NODE_NO_WARNINGS: '1' };
  const words = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const install = (program, ...before) => {
    const result = spawnSync(program, [...before, ...words], { cwd: root, stdio: ['ignore', 2, 2], env });
    if (result.status !== 0) {
      stop(
        `flatroute: npm install failed (exit ${result.status ?? result.signal}); its own words are above. Nothing was started.`,
      );
    }
  };
  install(npm);
  // npm leaves out optional packages that the Node it runs on is too old for. Now that the packaged Node is there, npm runs on that.
  const node = nodeBinary();
  const script = realpathSync(whereIs('npm'));
  if (node !== process.execPath && script.endsWith('.js')) install(node, script);
  nodeBinary();
  writeFileSync(stamp, `${wanted}\n`);
  rmSync(installing, { force: true });
}

/** The Node that runs flatroute: of the packages, or this one where it is new enough and the packages have none. */
function nodeBinary() {
  const inPackage = join('node-linux-' + process.arch, 'bin', 'node');
  const packaged = join(modules, inPackage);
  let problem = 'there is no package for this processor';
  if (existsSync(packaged)) {
    // Not every npm links a program that is called node.
    const link = join(modules, '.bin', 'node');
    if (!existsSync(link)) symlinkSync(join('..', inPackage), link);
    const run = () => spawnSync(packaged, ['-e', '0'], { encoding: 'utf8' });
    let tried = run();
    if (tried.status !== 0 && /libatomic/.test(tried.stderr ?? '') && process.getuid() === 0 && onPath('apt-get')) {
      say('flatroute: installing the Debian package libatomic1, which Node 26 needs to run');
      aptInstall(['libatomic1']);
      tried = run();
    }
    if (tried.status === 0) return packaged;
    problem = (tried.stderr || String(tried.error ?? `exit ${tried.status}`)).trim();
  }
  if (Number(process.versions.node.split('.')[0]) >= 26) return process.execPath;
  return stop(
    `flatroute: needs Node 26. The npm package that brings it does not run here (${process.platform} ${process.arch}):`,
    `  ${problem}`,
    `and the Node of this machine is ${process.version}. Install what is missing, or Node 26 or later, then run this again.`,
  );
}

/** True when all of them are installed afterwards. */
function aptInstall(packages) {
  // The daemons are wanted as programs, not as services of this machine: policy-rc.d keeps their start scripts from running.
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...words) =>
    spawnSync('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=600', ...words], { stdio: ['ignore', 'ignore', 2], env })
      .status === 0;
  const install = () => apt('install', '-y', '--no-install-recommends', ...packages);
  try {
    // The lists of a new machine are often empty or old.
    return install() || (apt('update') && install());
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
}

function installDebianPackages(names) {
  const missing = names.filter((name) => !debian[name].test());
  if (missing.length === 0) return;
  const list = missing.map((name) => `  ${debian[name].package.padEnd(28)} ${debian[name].why}`);
  const packages = [...new Set(missing.map((name) => debian[name].package))];
  if (process.getuid() !== 0 || !onPath('apt-get')) {
    stop(
      'flatroute: this machine lacks',
      ...list,
      process.getuid() === 0
        ? 'and has no apt-get to install them with. Install the programs named above, then run this again.'
        : `Install them as root, for example: apt-get install --no-install-recommends ${packages.join(' ')}`,
    );
  }
  say('flatroute: installing Debian packages:');
  for (const line of list) say(line);
  if (!aptInstall(packages)) {
    stop(
      'flatroute: apt-get could not install them; its own words are above. Install them by hand, then run this again.',
    );
  }
  const still = names.filter((name) => !debian[name].test());
  if (still.length > 0) stop(`flatroute: installed, but still not found: ${still.join(', ')}`);
}

/** Root of a container is not always allowed to make namespaces. */
function checkNamespaces(command) {
  const probe = spawnSync('unshare', ['--net', '--mount', 'true'], { encoding: 'utf8' });
  if (probe.status === 0) return;
  stop(
    `flatroute: ${command} makes network namespaces, and this root may not:`,
    `  ${(probe.stderr || String(probe.error)).trim()}`,
    'In a container, run it privileged (CAP_SYS_ADMIN and CAP_NET_ADMIN), or run it on the machine itself.',
  );
}

/** Without root the lab lives in a user namespace, where the kernel allows one: root inside, nobody outside. */
function userNamespace(command) {
  const probe = spawnSync('unshare', ['--user', '--map-root-user', '--net', '--mount', 'true'], { encoding: 'utf8' });
  if (probe.status !== 0) {
    stop(
      `flatroute: ${command} makes network namespaces. You are not root, and this kernel gives no user namespace:`,
      `  ${(probe.stderr || String(probe.error)).trim()}`,
      'Run it as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1 or user.max_user_namespaces).',
    );
  }
  say(
    'flatroute: not root, so this goes on inside a user namespace. FRR, OpenBGPD, containerd and real-time priority need root and are left out.',
  );
  // A run directory of its own, writable inside: `ip netns` and the daemons keep their files there.
  return [
    'unshare',
    '--user',
    '--map-root-user',
    '--net',
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    'sh',
    '-c',
    'mount -t tmpfs tmpfs /run && mount -t proc proc /proc && mkdir -p /run/netns && ip link set lo up && exec "$@"',
    'sh',
  ];
}

/** Options that npm takes for its own, and passes on as nothing but `npm_config_*`, where the `--` before them was forgotten. */
const keptByNpm = {
  demo: ['keep', 'remove', 'enter', 'router'],
  flatroute: ['resources', 'metrics', 'withdraw-on-stop', 'received', 'accepted', 'announced', 'watch', 'output'],
};

function refuseWhatNpmKept(name, args) {
  if (process.env.npm_lifecycle_event !== name) return;
  const kept = (keptByNpm[name] ?? [])
    .filter((option) => process.env[`npm_config_${option.replaceAll('-', '_')}`])
    .map((option) => `--${option}`);
  if (kept.length === 0) return;
  const words = [...(name === 'flatroute' ? args.slice(0, 1) : []), ...kept];
  say(`flatroute: npm kept ${kept.join(' and ')} for itself; write -- before the words for flatroute:`);
  say(`  npm run ${name} -- ${words.join(' ')} ...`);
  process.exit(2);
}

/** Of a program that may take minutes: it is ended with this one, and where it fails this one fails after its words. */
async function outputOf(line, env) {
  const child = spawn(line[0], line.slice(1), { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env });
  const pass = (signal) => child.kill(signal);
  for (const signal of endings) process.on(signal, pass);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  const code = await new Promise((done) => {
    child.once('error', () => done(1));
    child.once('close', (status, signal) => done(status ?? (signal === 'SIGINT' ? 130 : 143)));
  });
  for (const signal of endings) process.off(signal, pass);
  if (code !== 0) process.exit(code);
  return output.trim();
}

async function main() {
  const [name, ...args] = process.argv.slice(2);
  const command = Object.hasOwn(commands, name ?? '') ? commands[name] : undefined;
  if (command === undefined) {
    say(`usage: node scripts/bootstrap.mjs ${Object.keys(commands).join(' | ')} [ARGUMENTS]`);
    process.exit(2);
  }
  refuseWhatNpmKept(name, args);
  if (process.platform !== 'linux') {
    stop(
      `flatroute: this is ${process.platform}. flatroute programs the Linux kernel; run it on Linux 5.15 or later (a virtual machine will do).`,
    );
  }
  if (Number(process.versions.node.split('.')[0]) < 18)
    stop(`flatroute: the bootstrap needs Node 18 or later, this is ${process.version}.`);
  const router = command.router && args.includes('--router') ? args[args.indexOf('--router') + 1] : undefined;
  const isRoot = process.getuid() === 0;
  const needs = [...command.debian, ...(router === 'bird' || router === 'frr' ? [router] : [])];
  const usable = isRoot ? needs : needs.filter((need) => !rootOnly.includes(need));
  await withInstallLock(() => {
    installPackages();
    installDebianPackages(usable);
  });
  const node = nodeBinary();
  const env = {
    ...process.env,
    PATH: `${join(modules, '.bin')}:${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin`,
    FLATROUTE_ROOT: isRoot ? 'root' : 'user-namespace',
  };
  if (command.plugin) {
    const built = await withInstallLock(() =>
      spawnSync(node, [join(root, 'scripts', 'build-plugin.mjs'), '--if-needed'], {
        cwd: root,
        stdio: ['ignore', 2, 2],
        env,
      }),
    );
    if (built.status !== 0) stop('flatroute: the CNI plugin could not be built; the reason is above.');
  }
  const builtByGo = async (...words) => await outputOf([node, join(root, 'scripts', 'build-go.mjs'), ...words], env);
  if (command.multus) env.FLATROUTE_MULTUS = join(await builtByGo('multus'), 'multus');
  if (command.gobgp4) env.PATH = `${await builtByGo('gobgp')}:${env.PATH}`;
  if (command.kubernetes || (name === 'bench' && args[0] === 'kubernetes')) {
    // Only a cluster needs more than an API server.
    const files = args.filter((word) => !word.startsWith('-'));
    const apiOnly = name === 'bench' || (files.length > 0 && !files.some((file) => file.includes('cluster')));
    env.FLATROUTE_KUBERNETES = await builtByGo('kubernetes', ...(apiOnly ? ['--api-only'] : []));
  }
  const [entry, ...fixed] = command.run;
  if (command.otherwise && !args.some((word) => !word.startsWith('-'))) args.push(...command.otherwise);
  const words = [node, '--disable-warning=ExperimentalWarning', join(root, entry), ...fixed, ...args];
  if (command.namespaces && isRoot) checkNamespaces(name);
  const line = command.namespaces && !isRoot ? [...userNamespace(name), ...words] : words;
  // npm goes to the folder of package.json; a relative path means the folder where its caller stands.
  const called = process.env.npm_lifecycle_event === name ? process.env.INIT_CWD : undefined;
  const cwd = name === 'flatroute' ? (called ?? process.cwd()) : root;
  const child = spawn(line[0], line.slice(1), { cwd, stdio: 'inherit', env });
  // Ctrl-C reaches the whole foreground group; a signal sent to this process alone is passed on.
  for (const signal of endings) process.on(signal, () => signal !== 'SIGINT' && child.kill(signal));
  child.on('error', (error) => stop(`flatroute: cannot start ${line[0]}: ${error.message}`));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (signal === 'SIGINT' ? 2 : 15)));
}

statSync(join(root, 'package-lock.json'));
await main();
