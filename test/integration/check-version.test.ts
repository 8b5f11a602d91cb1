// The version of a configuration server, as `homeward check` learns it: from the server itself, which has to
// prove who it is once this host has enrolled with it.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { CheckContext } from '../../agent/prerequisites/check.ts';
import { readCheckContext } from '../../agent/prerequisites/read-context.ts';
import { createLog } from '../../core/log.ts';
import { ConfigSite } from '../support/config-site.ts';
import { temporaryDirectory } from '../support/temporary.ts';

function contextOf(data: string, address: string, offline = false): Promise<CheckContext> {
  const [host, port] = address.split(':');
  const environment = {
    ...{ HOMEWARD_DATA_DIRECTORY: data, HOMEWARD_ROLE: 'MasterTarget' },
    ...{ HOMEWARD_CONFIG_SERVER_ADDRESS: host, HOMEWARD_CONFIG_SERVER_PORT: port },
  };
  return readCheckContext({ config: null, environment, offline, log: createLog('error', () => undefined) });
}

t.test('a host that has not enrolled learns the version of the server that it is to belong to', async (t) => {
  const site = await ConfigSite.start(t);
  const data = temporaryDirectory(t);
  const { versions, clockOffsetMs } = await contextOf(data, site.address);
  t.same(versions, [{ role: 'config-server', name: '127.0.0.1', version: '0.1.0' }]);
  t.equal(clockOffsetMs, null);
  t.same((await contextOf(data, site.address, true)).versions, [], 'offline nobody is asked');
  await site.stop();
  t.same((await contextOf(data, '127.0.0.1:1')).versions, [], 'nobody there is no answer');
});

t.test('one that has enrolled believes its server only what that proves', async (t) => {
  const site = await ConfigSite.start(t);
  const data = path.join(site.directory, 'mt-data');
  const host = await site.host('master-target', 'mt', { data });
  await host.registration.stop();
  const other = await ConfigSite.start(t);
  t.match((await contextOf(data, site.address)).versions, [{ version: '0.1.0' }]);
  const given = await contextOf(data, other.address);
  t.match(given.versions, [{ version: '0.1.0' }], 'another one, before it enrols there');
  t.equal(given.clockOffsetMs, null);
  // An impostor at the address of its own.
  const { address } = site;
  await site.stop();
  await other.restart(address);
  t.same((await contextOf(data, address)).versions, []);
  t.ok(fs.existsSync(path.join(data, 'identity')));
});
