// Settings and control sockets that cannot be: the daemon does not start, and says which and what would do.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { MasterTarget } from '../support/homeward.ts';
import { startRefused } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

t.test('configuration that cannot be, or that nobody knows', async (t) => {
  const directory = temporaryDirectory(t);
  const config = path.join(directory, 'drscout.conf');
  const data = path.join(directory, 'data');
  const start = (text: string) => {
    fs.writeFileSync(config, text);
    return startRefused(['--data', data, '--config', config]);
  };
  const cases: [text: string, message: RegExp][] = [
    [
      '[homeward]\nSegmentBytes = huge\n',
      /SegmentBytes cannot be "huge": it is bytes, .* from 64K to 1G \(set in .*drscout\.conf\)/,
    ],
    ['[homeward]\nSegmentBytes = 2G\n', /SegmentBytes cannot be "2G"/],
    [
      '[homeward]\nWindowHours = -1h\n',
      /WindowHours cannot be "-1h": it is a number with ms, s, m, h, d or w/,
    ],
    ['[vxagent]\nRole = Pilot\n', /Role cannot be "Pilot": it is Agent, MasterTarget, .* or AllInOne/],
    ['[homeward]\nNbdTlsDirectory = here\n', /NbdTlsDirectory cannot be "here": it is an absolute path/],
  ];
  for (const [text, message] of cases) t.match(await start(text), { status: 2, code: 'bad-config', message });
  t.match(await startRefused(['--data', data, '--config', `${config}.none`]), {
    status: 3,
    code: 'no-such-file',
    message: /drscout\.conf\.none does not exist/,
  });
  t.match(await startRefused(['--data', data], { env: { HOMEWARD_UNSYNCED_BYTES: '1' } }), {
    status: 2,
    code: 'bad-config',
    message: /set in the environment, HOMEWARD_UNSYNCED_BYTES/,
  });
  t.notOk(fs.existsSync(data), 'nothing was made yet');
  t.match(await startRefused(['--data', data, '--control', path.join(directory, 'c'.repeat(108))]), {
    status: 2,
    code: 'usage',
    message: /it may have 1 to 107/,
  });
  t.match(await startRefused(['--data', data, '--control', path.join(directory, 'none', 'c.sock')]), {
    status: 2,
    code: 'bad-listen',
    message: /none is not a directory/,
  });
  t.match(await startRefused(['--data', data, '--control', config]), {
    status: 5,
    code: 'conflict',
    message: /exists and is not a socket/,
  });
  const target = await MasterTarget.start(t, { SegmentByte: '8M', RetentionReserveBytes: '0' });
  t.match(target.log, /level=warn event=config-unknown-key .*key=SegmentByte .*nearest=SegmentBytes/);
  await target.stop();
  target.configure({ NbdTlsDirectory: directory });
  await target.restart();
  const tls = ['ingest', 'open', 'web', '--disk', 'root=1M', '--listen', 'tcp:127.0.0.1:10999'];
  t.match(await target.refused(...tls), {
    status: 2,
    code: 'bad-config',
    message: /NbdTlsDirectory has no readable ca-cert\.pem/,
  });
});
