/** Owns a lab of one host until it is killed: `owner.ts tied|keepable|kept`; prints the lab's name. */
import { Lab } from '#lab/lab.ts';

const mode = process.argv[2];
const lab = await Lab.create('owner', { keepable: mode !== 'tied' });
const host = await lab.addHost('only');
await host.spawn(['sleep', '1000']);
if (mode === 'kept') await lab.keep();
console.log(lab.name);
setInterval(() => undefined, 1000);
