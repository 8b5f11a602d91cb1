// The units as systemd reads them: without a complaint, sandboxed as far as they say, and with the places
// of a configuration.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { loadConfig } from '../../core/config.ts';
import { silentLog } from '../../core/log.ts';
import { serviceDropIn, unitOf, writeServiceDropIn } from '../../core/service-drop-in.ts';
import { run } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const templates = path.resolve(import.meta.dirname, '../../systemd');
const roles = ['master-target', 'config-server', 'process-server', 'mobility', 'all-in-one'] as const;
/** As `systemd-analyze security` has them; from 4.0 on it would be worth a reason. */
const exposures = {
  'master-target': 2.5,
  'config-server': 1.7,
  'process-server': 1.7,
  mobility: 2.0,
  'all-in-one': 2.6,
};
const skip = skipUnless({ commands: ['systemd-analyze'] });

/** The units as an installer puts them there. */
function installUnits(t: Test): string {
  const directory = temporaryDirectory(t);
  const vx = path.join(directory, 'Vx');
  fs.mkdirSync(path.join(vx, 'bin'), { recursive: true });
  fs.writeFileSync(path.join(vx, 'bin/homeward'), '#!/bin/sh\n', { mode: 0o755 });
  for (const role of roles) {
    const text = fs.readFileSync(path.join(templates, unitOf(role)), 'utf8');
    fs.writeFileSync(path.join(directory, unitOf(role)), text.replaceAll('@VX@', vx));
  }
  return directory;
}

t.test(
  'systemd has no complaint about any unit, with the places of a configuration, too',
  { skip },
  async (t) => {
    const units = installUnits(t);
    const flags = { RetentionVolume: '/retention "x" 5%', ReplicaDirectory: '/home/1' };
    const config = loadConfig({ file: null, environment: {}, flags, log: silentLog });
    writeServiceDropIn(serviceDropIn(config), units);
    for (const role of roles) {
      const unit = path.join(units, unitOf(role));
      const { status, out, err } = await run('systemd-analyze', ['verify', '--man=no', unit]);
      t.equal(out + err, '', role);
      t.equal(status, 0, role);
    }
    t.ok(fs.existsSync(path.join(units, 'homeward-master-target.service.d/retention.conf')));
  },
);

t.test('each is exposed as little as docs/systemd.md says', { skip }, async (t) => {
  const units = installUnits(t);
  const document = fs.readFileSync(path.resolve(templates, '../docs/systemd.md'), 'utf8');
  for (const role of roles) {
    const unit = path.join(units, unitOf(role));
    const args = ['security', '--offline=true', '--threshold=40', '--no-pager', unit];
    const { status, out, err } = await run('systemd-analyze', args);
    t.equal(status, 0, `${role}: ${err}`);
    const exposure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(out)?.[1]);
    t.ok(exposure <= exposures[role], `${role}: ${exposure}`);
    t.match(document, new RegExp(`\`${unitOf(role)}\` \\| ${exposures[role].toFixed(1)} `), role);
  }
});

t.test('every unit tells the truth about readiness and life, and names no place but by its template', (t) => {
  for (const role of roles) {
    const text = fs.readFileSync(path.join(templates, unitOf(role)), 'utf8');
    for (const line of ['Type=notify', 'NotifyAccess=main', 'KillMode=mixed', 'Restart=on-failure'])
      t.match(text, `\n${line}\n`, `${role}: ${line}`);
    t.match(text, /\nWatchdogSec=\d+\n/, role);
    t.match(text, `ExecStart=@VX@/bin/homeward ${role} --config @VX@/etc/drscout.conf\n`, role);
    t.match(text, 'MemoryDenyWriteExecute= is not there: V8', role);
    t.notMatch(text, /\/usr\/local|\/opt\//, role);
  }
  const hard = 'ExecStartPre=+@VX@/bin/homeward check --hard';
  for (const role of ['master-target', 'all-in-one'] as const)
    t.match(fs.readFileSync(path.join(templates, unitOf(role)), 'utf8'), hard, role);
  t.end();
});
