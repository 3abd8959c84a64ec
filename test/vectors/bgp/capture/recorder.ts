/**
 * A BGP peer that says as little as it can and prints what it hears: one JSON line `{type, hex}` for each message. It cuts
 * the stream by the length field alone, so that the captures do not rest on the code that they test.
 * Arguments: address to listen on, OPEN as hexadecimal.
 */
import { createServer } from 'node:net';

const [address = '', openHex = ''] = process.argv.slice(2);
const keepalive = Buffer.from(`${'ff'.repeat(16)}001304`, 'hex');

const server = createServer((socket) => {
  let rest = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 19 && rest.length >= rest.readUInt16BE(16)) {
      const message = rest.subarray(0, rest.readUInt16BE(16));
      rest = rest.subarray(message.length);
      const type = message[18];
      console.log(JSON.stringify({ type, hex: message.toString('hex') }));
      if (type === 1) socket.write(Buffer.concat([Buffer.from(openHex, 'hex'), keepalive]));
      if (type === 4) socket.write(keepalive);
      if (type === 3) socket.end();
    }
  });
});
server.listen(179, address, () => console.log(JSON.stringify({ type: 0, hex: '' })));
