// A lab on the real kernel: what it makes, and that nothing of it outlives its owner.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import { Lab } from '#lab/lab.ts';
import { findHolders, removeKept, removeLeftovers } from '#lab/leftovers.ts';
import { execute } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';

const addresses = [
  ['10.0.0.1/30', '10.0.0.2/30'],
  ['fd00::1/64', 'fd00::2/64'],
] as const;

async function twoHosts(title: string) {
  const lab = await Lab.create(title);
  const [a, b] = await Promise.all([lab.addHost('a'), lab.addHost('b', { forwarding: true })]);
  await lab.link({ a, b, addresses, mtu: 1400 });
  return { lab, a, b };
}

/** Processes in the network namespace of that inode. */
const processesIn = (namespace: string): readonly string[] =>
  readdirSync('/proc').filter((entry) => {
    try {
      return /^\d+$/.test(entry) && readlinkSync(`/proc/${entry}/ns/net`) === namespace;
    } catch {
      return false;
    }
  });

const holdersOf = (lab: string) => findHolders().filter((holder) => holder.lab === lab);

describe('a lab', { concurrency: false }, () => {
  test('joins two hosts by a link that works at once, in both families', async (t) => {
    const { lab, a, b } = await twoHosts('link');
    t.after(async () => await lab.dispose());
    await a.run(['ping', '-c1', '-W1', '10.0.0.2']);
    await a.run(['ping', '-c1', '-W1', 'fd00::2']);
    assert.equal((await a.links()).find((link) => link.name === 'b')?.mtu, 1400);
    assert.deepEqual((await b.addresses()).toSorted(), ['10.0.0.2', '127.0.0.1', '::1', 'fd00::2']);
    assert.equal(await b.run(['cat', '/proc/sys/net/ipv4/ip_forward']), '1\n');
    assert.equal(await a.run(['cat', '/proc/sys/net/ipv4/ip_forward']), '0\n');
    assert.equal(await a.run(['hostname']), 'a\n');
  });

  test('gives each host a /run, /etc and /var/lib of its own', async (t) => {
    const { lab, a, b } = await twoHosts('files');
    t.after(async () => await lab.dispose());
    for (const folder of ['/run', '/etc', '/var/lib']) {
      const path = `${folder}/flatroute-lab-test-${process.pid}`;
      await a.writeFile(path, 'mine');
      assert.equal(await a.run(['cat', path]), 'mine');
      assert.notEqual((await b.exec(['cat', path])).code, 0);
      assert.notEqual((await execute(['cat', path])).code, 0);
    }
  });

  test('puts nothing into the network namespace of its owner, and two with the same subnets run at once', async (t) => {
    const before = (await execute(['ip', '-o', 'link', 'show'])).stdout;
    const [one, two] = await Promise.all([twoHosts('same'), twoHosts('same')]);
    t.after(async () => await Promise.all([one.lab.dispose(), two.lab.dispose()]));
    assert.notEqual(one.lab.name, two.lab.name);
    await Promise.all([one.a.run(['ping', '-c1', '10.0.0.2']), two.a.run(['ping', '-c1', '10.0.0.2'])]);
    const names = (text: string): string[] =>
      [...text.matchAll(/^\d+: ([^:@]+)/gm)].map((match) => match[1] ?? '').sort();
    const after = names((await execute(['ip', '-o', 'link', 'show'])).stdout);
    assert.deepEqual(
      after.filter((name) => name === 'a' || name === 'b'),
      [],
    );
    assert.ok(names(before).includes('lo') && after.includes('lo'));
  });

  test('signals a process by its own pid, and knows how it ended', async (t) => {
    const { lab, a } = await twoHosts('signals');
    t.after(async () => await lab.dispose());
    const running = await a.spawn(['sh', '-c', 'trap "echo told; exit 7" TERM; echo up; while :; do sleep 0.05; done']);
    await waitFor(
      'the process to be up',
      async () => ((await running.log()).includes('up') ? found(undefined) : notYet('nothing said')),
      { deadline: seconds(60) },
    );
    running.kill('SIGTERM');
    assert.deepEqual(await running.exited, { code: 7, signal: null });
    assert.equal(await running.log(), 'up\ntold\n');
    running.kill('SIGTERM');
  });

  test('a host without power has no process and no carrier, and has its addresses again afterwards', async (t) => {
    const { lab, a, b } = await twoHosts('power');
    t.after(async () => await lab.dispose());
    const running = await b.spawn(['sleep', '1000']);
    await b.exec(['sh', '-c', 'setsid sleep 1000 >/dev/null 2>&1 &']);
    await b.powerOff();
    assert.equal(running.ended, true);
    assert.deepEqual(await b.processes(), []);
    assert.equal((await a.links()).find((link) => link.name === 'b')?.carrier, false);
    await b.powerOn(lab.endsOf(b));
    await a.run(['ping', '-c1', '-W1', '10.0.0.2']);
    await a.run(['ping', '-c1', '-W1', 'fd00::2']);
  });

  test('is gone after dispose with everything that ran in it, frozen processes and daemons too', async () => {
    const { lab, a, b } = await twoHosts('dispose');
    const frozen = await a.spawn(['sleep', '1000']);
    frozen.kill('SIGSTOP');
    await b.exec(['sh', '-c', 'setsid sleep 1000 >/dev/null 2>&1 &']);
    const namespaces = [a, b].map((host) => readlinkSync(`/proc/${host.pid}/ns/net`));
    assert.equal(holdersOf(lab.name).length, 2);
    await lab.dispose();
    await lab.dispose();
    assert.deepEqual(namespaces.flatMap(processesIn), []);
    assert.deepEqual(holdersOf(lab.name), []);
    await assert.rejects(a.run(['true']), { code: 'OS_LAB_GONE' });
    await assert.rejects(lab.addHost('late'), { code: 'OS_LAB_SETUP' });
  });

  test('is gone when its owner is killed; one that was kept stays until it is removed', async () => {
    for (const [mode, remains] of [
      ['tied', false],
      ['keepable', false],
      ['kept', true],
    ] as const) {
      const owner = spawn(
        process.execPath,
        ['--disable-warning=ExperimentalWarning', 'test/netns/lab/owner.ts', mode],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
      const name = await new Promise<string>((resolve) => {
        owner.stdout.setEncoding('utf8').once('data', (text: string) => resolve(text.trim()));
      });
      assert.equal(holdersOf(name).length, 1, mode);
      assert.equal(holdersOf(name)[0]?.state, 'owned');
      assert.ok(!removeLeftovers().includes(name), 'a living lab is not touched');
      assert.ok(!removeKept(name).includes(name), 'a living lab is not touched');
      owner.kill('SIGKILL');
      await new Promise((resolve) => owner.once('exit', resolve));
      if (remains) {
        assert.equal(holdersOf(name)[0]?.state, 'kept');
        assert.ok(!removeLeftovers().includes(name), 'kept is kept');
        assert.deepEqual(removeKept(name), [name]);
      } else {
        removeLeftovers();
      }
      await waitFor(
        `the ${mode} lab to be gone`,
        async () => await Promise.resolve(holdersOf(name).length === 0 ? found(undefined) : notYet('it is there')),
        { deadline: seconds(60) },
      );
    }
  });

  test('of another pid namespace is not touched, though its owner looks dead from here', async (t) => {
    const inside = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', process.execPath];
    const [command, ...args] = [...inside, '--disable-warning=ExperimentalWarning', 'test/netns/lab/owner.ts', 'tied'];
    const owner = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => owner.kill('SIGKILL'));
    const name = await new Promise<string>((resolve) => {
      owner.stdout.setEncoding('utf8').once('data', (text: string) => resolve(text.trim()));
    });
    const marked = async (): Promise<boolean> =>
      (await execute(['ps', '-e', '-o', 'args='])).stdout.includes(`flatroute-lab ${name} only 1/`);
    assert.ok(await marked(), 'it can be seen from here');
    assert.ok(!removeLeftovers().includes(name));
    assert.deepEqual(removeKept(name), []);
    assert.ok(await marked());
  });

  test('that was kept can be removed by its own owner', async () => {
    const owner = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', 'test/netns/lab/owner.ts', 'removed'],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const code = await new Promise((resolve) => owner.once('exit', resolve));
    assert.equal(code, 0);
    assert.deepEqual(
      findHolders().filter((holder) => holder.lab.startsWith(`owner-${owner.pid}-`)),
      [],
    );
  });

  test('waiting says what was waited for and what was seen last', async () => {
    await assert.rejects(
      waitFor('the moon', async () => await Promise.resolve(notYet('clouds')), { deadline: seconds(0.05) }),
      /waited 0\.\d s for the moon; seen last: clouds/,
    );
  });
});
