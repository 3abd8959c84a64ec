/** Owns a lab of one host until it is killed, or keeps and removes it: `owner.ts tied|keepable|kept|removed|runtime`; prints its name. */
import { Lab } from '#lab/lab.ts';
import { Containerd } from '#lab/runtime/containerd.ts';

const mode = process.argv[2];
const lab = await Lab.create('owner', { keepable: mode !== 'tied' && mode !== 'runtime' });
const host = await lab.addHost('only');
await host.spawn(['sleep', '1000']);
if (mode === 'runtime') {
  const containerd = await Containerd.prepare(host);
  await containerd.start();
  await containerd.runPod({ name: 'pod', hostNetwork: true });
}
if (mode === 'kept' || mode === 'removed') await lab.keep();
console.log(lab.name);
if (mode === 'removed') await lab.remove();
else setInterval(() => undefined, 1000);
