/**
 * Makes `captured.json`: runs bfdd and BIRD in a lab against BFD of ours, and writes down each different packet that they
 * send through coming up, an end by us and a fresh start, with what tcpdump says of it: a second reader's words. The
 * octets are sent once more for that, because tcpdump takes bfdd's source port for another protocol. Needs root, the
 * daemons and tcpdump. Not part of the tests.
 *
 *   node test/vectors/bfd/capture.ts
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { fastSession, startBfd } from '../../support/bfd.ts';
import { bfdDaemons, far, near, twoHosts } from '../../support/bfd-neighbours.ts';

interface Captured {
  readonly daemon: string;
  readonly hex: string;
  /** tcpdump -v. */
  readonly said: string;
}

/** Octets of an IPv4 header without options and of a UDP header. */
const HEADERS = 28;

/** Packets of `tcpdump -v -x`: a line that begins with the time, lines of words, lines of octets. */
function packetsOf(text: string): { readonly hex: string; readonly said: string }[] {
  return text
    .split(/\n(?=\d\d:\d\d:\d\d)/)
    .filter((part) => part.includes('> 172.16.9.1.3784'))
    .map((part) => {
      const octets = [...part.matchAll(/^\s+0x[0-9a-f]{4}:\s+([0-9a-f ]+)$/gm)].map(
        (row) => row[1]?.replaceAll(' ', '') ?? '',
      );
      const said = part.slice(part.indexOf('BFDv1')).split(/\n\s+0x/)[0] ?? '';
      return { hex: octets.join('').slice(2 * HEADERS), said: said.replaceAll(/\s+/g, ' ').trim() };
    });
}

/** Packets of the same kind differ in discriminators only. */
const kindOf = (hex: string): string =>
  hex.slice(0, 8) + (/^0{8}$/.test(hex.slice(16, 24)) ? '0' : '1') + hex.slice(24);

async function listen(host: Host, filter: string): Promise<LabProcess> {
  const words = ['tcpdump', '-l', '-n', '-v', '-x', '-i', 'up-a', `udp dst port 3784 and ${filter}`];
  const process = await host.spawn(words, { log: `tcpdump-${filter.replaceAll(/\W/g, '-')}.log` });
  await waitFor('tcpdump', async () => ((await process.log()).includes('listening on') ? found(true) : notYet('')), {
    deadline: seconds(10),
  });
  return process;
}

/** What it has heard until now; ends it. */
async function heard(listening: LabProcess): Promise<ReturnType<typeof packetsOf>> {
  await delay(milliseconds(300));
  listening.kill('SIGTERM');
  await listening.exited;
  return packetsOf(await listening.log());
}

const captured: Captured[] = [];
for (const daemon of bfdDaemons) {
  const lab = await Lab.create('frt-bfd-capture');
  try {
    const [a, b] = await twoHosts(lab);
    const listening = await listen(a, `src host ${far.ipv4}`);
    const neighbour = await daemon.start(b, 'ipv4', 'single');
    for (const changes of [{}, { detectMultiplier: 5 }, { desiredMinTxMicroseconds: 200_000 }]) {
      const ours = await startBfd(a);
      ours.client.setSessions([fastSession(far.ipv4, changes)]);
      await ours.until('router', 'up', (s) => s.state === 'Up' && s.detectionTimeMilliseconds < 1000, seconds(15));
      await delay(milliseconds(500));
      ours.client.end();
      await ours.process.exited;
      await delay(milliseconds(1500));
    }
    neighbour.speaker.kill('SIGTERM');
    await delay(milliseconds(500));
    const distinct = new Map<string, string>();
    for (const { hex } of await heard(listening)) if (!distinct.has(kindOf(hex))) distinct.set(kindOf(hex), hex);
    const again = await listen(a, 'src port 50001');
    const code = `const s = require('node:dgram').createSocket('udp4'); const all = ${JSON.stringify([...distinct.values()])};
      s.bind(50001, () => { const next = () => all.length === 0 ? s.close()
        : s.send(Buffer.from(all.shift(), 'hex'), 3784, '${near.ipv4}', () => setTimeout(next, 20)); next(); });`;
    await b.run([process.execPath, '-e', code]);
    for (const { hex, said } of await heard(again)) captured.push({ daemon: daemon.name, hex, said });
  } finally {
    await lab.dispose();
  }
}
const source = 'sent by FRR 8.4 bfdd and BIRD 2.0 of Debian 12 to this program, and what tcpdump -v says of each';
writeFileSync(
  join(import.meta.dirname, 'captured.json'),
  `${JSON.stringify({ source, packets: captured }, null, 2)}\n`,
);
