// `homeward hand-over`: what is asked, what is shown before, and when it is refused without a question.
import path from 'node:path';
import t, { type Test } from 'tap';
import { startControlServer } from '../../../agent/control/server.ts';
import { run } from '../../../cli/run.ts';
import { silentLog } from '../../../core/log.ts';
import { capturedIo } from '../../support/captured-io.ts';
import { stubService } from '../../support/stub-service.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

interface Ran {
  status: number;
  out: string;
  err: string;
  calls: unknown[][];
}

async function serve(t: Test): Promise<(...args: string[]) => Promise<Ran>> {
  const socket = path.join(temporaryDirectory(t), 'control.sock');
  const service = stubService();
  const server = await startControlServer({ path: socket, service, log: silentLog });
  t.teardown(() => server.close());
  return async (...args) => {
    const io = capturedIo();
    const status = await run([...args, '--control', socket], io);
    return { status, out: io.out(), err: io.err(), calls: service.calls.splice(0) };
  };
}

t.test('a plan names what goes, and asks for nothing', async (t) => {
  const homeward = await serve(t);
  const away = await homeward('hand-over', 'web', '--release', 'esx 1', '--plan');
  t.equal(away.status, 0);
  t.match(away.out, /Its replicas are given to esx 1, and its history here ENDS/);
  t.match(away.out, /Given up: 18 points, LSN 101 at .* to LSN 118 at .*; tags late\n/);
  t.match(away.out, /Closed: 101 points, LSN 0 at .* to LSN 100 at/);
  t.same(
    away.calls.map(([call]) => call),
    ['planHandOver'],
  );
  const here = await homeward('hand-over', 'web', '--run', 'unix:/run/next.sock', '--plan');
  t.match(here.out, /It runs here, on unix:\/run\/next.sock; every point of before stays\.\n/);
  t.notMatch(here.out, /Given up|Closed/);
  const on = await homeward('hand-over', 'forever', '--run', 'unix:/run/next.sock', '--plan');
  t.match(on.out, /Source: STILL CONNECTED; give --source-is-off once it is off; its ingest is closed\n/);
});

t.test('the moment of the plan goes with the request, and the answer says where it runs', async (t) => {
  const homeward = await serve(t);
  const flags = ['--source-is-off', '--allow-damaged', '--yes'];
  const done = await homeward('hand-over', 'web', '--run', 'unix:/run/next.sock', ...flags);
  t.equal(done.status, 0);
  const to = { kind: 'run', listen: 'unix:/run/next.sock' };
  const asked = { machine: 'web', to, sourceIsOff: true, allowDamaged: true };
  t.same(done.calls, [
    ['planHandOver', asked],
    ['handOver', { ...asked, lsn: 100 }],
  ]);
  t.match(
    done.out,
    /^web runs here from LSN 100 at .* on, on unix:\/run\/next.sock; 4 KiB were written back\n/,
  );
  t.match(done.out, /root +nbd\+unix:\/\/\/root\?socket=\/run\/next.sock/);

  const at = '2026-03-08T02:15:00+01:00';
  const dated = await homeward('hand-over', 'web', '--at', at, '--run', 'unix:/run/next.sock', ...flags);
  t.same(dated.calls, [
    ['planHandOver', { ...asked, at }],
    ['handOver', { ...asked, at: 'lsn:100', lsn: 100 }],
  ]);
  const wrong = await homeward('hand-over', 'web', '--at', '2026-13-01T00:00', '--run', 'unix:/a', ...flags);
  t.match(wrong, { status: 2, err: /is not a moment/, calls: [] });
});

t.test('whoever cannot be asked needs --yes, and a source that is on is refused first', async (t) => {
  const homeward = await serve(t);
  const unasked = await homeward('hand-over', 'web', '--release', 'esx1');
  t.equal(unasked.status, 6);
  t.match(unasked.err, /the history of web would end \(needs-yes\)/);
  t.equal(unasked.calls.length, 1);
  const on = await homeward('hand-over', 'forever', '--release', 'esx1');
  t.match(on.err, /the source of web is still connected \(source-connected\)/);
  for (const wrong of [[], ['--run', 'unix:/a', '--release', 'esx1']]) {
    const { status, err } = await homeward('hand-over', 'web', ...wrong);
    t.equal(status, 2);
    t.match(err, /give either --run LISTEN or --release NAME/);
  }
  const unprintable = await homeward('hand-over', 'web', '--release', 'a\u0007b', '--yes');
  t.match(unprintable, { status: 2, err: /printable characters/ });
});
