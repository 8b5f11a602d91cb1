// Where a process server says that it can be reached.
import type os from 'node:os';
import t from 'tap';
import { advertisedAddresses } from '../../../process-server/advertised.ts';

const face = (address: string, parts: object = {}): os.NetworkInterfaceInfo =>
  ({
    address,
    family: 'IPv4',
    internal: false,
    netmask: '',
    mac: '',
    cidr: null,
    ...parts,
  }) as os.NetworkInterfaceInfo;

const interfaces = {
  lo: [face('127.0.0.1', { internal: true })],
  eth0: [
    face('10.0.0.5'),
    face('fd00::5', { family: 'IPv6', scopeid: 0 }),
    face('fe80::1', { family: 'IPv6', scopeid: 2 }),
  ],
};

t.test(
  'what the operator says comes first, with the port that is listened on when there is none',
  async (t) => {
    const listen = { host: '0.0.0.0', port: 9443 };
    t.same(advertisedAddresses(['ps.example', 'ps.example:444', '[fd00::1]:1'], listen, interfaces), [
      'ps.example:9443',
      'ps.example:444',
      '[fd00::1]:1',
    ]);
  },
);

t.test('else the address that is listened on, or all of the host', async (t) => {
  t.same(advertisedAddresses([], { host: '10.0.0.7', port: 1 }, interfaces), ['10.0.0.7:1']);
  t.same(advertisedAddresses([], { host: '0.0.0.0', port: 1 }, interfaces), ['10.0.0.5:1', '127.0.0.1:1']);
  t.same(advertisedAddresses([], { host: '::', port: 1 }, interfaces), [
    '10.0.0.5:1',
    '[fd00::5]:1',
    '127.0.0.1:1',
  ]);
});
