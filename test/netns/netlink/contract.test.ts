// The contract of the datagram seam, on the real kernel.
import { after, before, describe } from 'node:test';
import { NETLINK_ROUTE } from '#linux/socket.ts';
import { openDatagramPort } from '#netlink/io/datagram-port.ts';
import { datagramPortContract } from '../../support/datagram-port-contract.ts';
import { createNamespace, type TestNamespace } from '../../support/netns.ts';

describe('the kernel’s datagram port', () => {
  let ns: TestNamespace;
  before(async () => {
    ns = await createNamespace('frt-contract');
  });
  after(() => ns.dispose());
  datagramPortContract(() => openDatagramPort(NETLINK_ROUTE, ns.path));
});
