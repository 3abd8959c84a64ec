/** Owns a lab of one host until it is killed, or keeps and removes it: `owner.ts tied|keepable|kept|removed`; prints its name. */
import { Lab } from '#lab/lab.ts';

const mode = process.argv[2];
const lab = await Lab.create('owner', { keepable: mode !== 'tied' });
const host = await lab.addHost('only');
await host.spawn(['sleep', '1000']);
if (mode === 'kept' || mode === 'removed') await lab.keep();
console.log(lab.name);
if (mode === 'removed') await lab.remove();
else setInterval(() => undefined, 1000);
