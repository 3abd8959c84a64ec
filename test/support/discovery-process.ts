/**
 * The ICMPv6 port of discovery in a process of its own, because only there a link-local source has the name of its interface.
 * Argument: the name of an interface. Writes one line of JSON for each message, and `ready` first; joins all routers' group
 * when a line comes in.
 */
import { readFileSync } from 'node:fs';
import { openIcmp6Port } from '#bgp/discovery/io/icmp6-port.ts';

const name = process.argv[2] ?? '';
const index = Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));
const say = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

const port = openIcmp6Port(({ bytes, source, interface: link }) =>
  say({ type: bytes[0], mark: bytes[4], source, link }),
);
say('ready');
process.stdin.once('data', () => {
  port.join(index);
  port.join(index);
  say('joined');
});
process.stdin.once('end', () => port.close());
