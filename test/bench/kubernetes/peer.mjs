// A BGP peer that does nothing but stay: it answers OPEN with the hold time that its argument says and writes the time
// (milliseconds since the epoch) at which each KEEPALIVE came to stdout. ASN HOLD-SECONDS ADDRESS. Plain JavaScript, small, and a process
// of its own, so that it is never late itself.
import { createServer } from 'node:net';

const [asn, hold, address] = process.argv.slice(2);
const OPEN = 1;
const KEEPALIVE = 4;
const HEADER = 19;

function message(type, body) {
  const bytes = Buffer.alloc(HEADER + body.length);
  bytes.fill(0xff, 0, 16);
  bytes.writeUInt16BE(bytes.length, 16);
  bytes.writeUInt8(type, 18);
  body.copy(bytes, HEADER);
  return bytes;
}

const open = Buffer.concat([
  Buffer.from([4, Number(asn) >> 8, Number(asn) & 255, 0, Number(hold)]),
  Buffer.from(address.split('.').map(Number)),
  // Optional parameters: capabilities IPv4 and IPv6 unicast.
  Buffer.from([14, 2, 12, 1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1]),
]);

createServer((socket) => {
  let held = Buffer.alloc(0);
  let timer;
  socket.setNoDelay(true);
  socket.on('data', (part) => {
    held = Buffer.concat([held, part]);
    while (held.length >= HEADER && held.length >= held.readUInt16BE(16)) {
      const type = held.readUInt8(18);
      held = held.subarray(held.readUInt16BE(16));
      if (type === OPEN) {
        socket.write(Buffer.concat([message(OPEN, open), message(KEEPALIVE, Buffer.alloc(0))]));
        timer = setInterval(() => socket.write(message(KEEPALIVE, Buffer.alloc(0))), (1000 * Number(hold)) / 3);
      } else if (type === KEEPALIVE) process.stdout.write(`keepalive ${Date.now()}\n`);
    }
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    clearInterval(timer);
    process.stdout.write('closed\n');
  });
}).listen(179, address);
