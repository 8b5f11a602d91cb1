// What systemd is told of the places that a configuration names.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { loadConfig, type Config, type SettingKey } from '../../../core/config.ts';
import { silentLog } from '../../../core/log.ts';
import { serviceDropIn, writeServiceDropIn } from '../../../core/service-drop-in.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const configOf = (flags: Partial<Record<SettingKey, string>>): Config =>
  loadConfig({ file: null, environment: {}, flags, log: silentLog });

const linesOf = (flags: Partial<Record<SettingKey, string>>): string[] =>
  serviceDropIn(configOf(flags))
    .text.split('\n')
    .filter((line) => /^\w+=/.test(line));

t.test('it waits for volumes and may write there', (t) => {
  const flags = { RetentionVolume: '/retention', ReplicaDirectory: '/ds/1', LogFile: '/logs/h/mt.log' };
  t.same(linesOf(flags), [
    'RequiresMountsFor=/retention',
    'RequiresMountsFor=/ds/1',
    'ReadWritePaths=-/retention',
    'ReadWritePaths=-/ds/1',
    'ReadWritePaths=-/logs/h',
  ]);
  t.equal(serviceDropIn(configOf(flags)).file, 'homeward-master-target.service.d/retention.conf');
  t.same(linesOf({}), [], 'the usual places are known to the unit');
  t.same(linesOf({ RetentionVolume: '/var/lib/homeward/master-target/r' }), [
    'RequiresMountsFor=/var/lib/homeward/master-target/r',
  ]);
  t.end();
});

t.test('a place below a home directory is let in, and odd names are quoted', (t) => {
  t.same(linesOf({ RetentionVolume: '/home/1' }), [
    'RequiresMountsFor=/home/1',
    'ReadWritePaths=-/home/1',
    'ProtectHome=read-only',
  ]);
  t.same(linesOf({ CacheDirectory: '/a "b" 5%\\' }), [
    String.raw`ReadWritePaths="-/a \"b\" 5%%\\"`,
    String.raw`Environment="NODE_COMPILE_CACHE=/a \"b\" 5%%\\"`,
  ]);
  t.same(linesOf({ ReplicaDirectory: '/homes' }), ['RequiresMountsFor=/homes', 'ReadWritePaths=-/homes']);
  t.end();
});

t.test('a mobility service may write its disks that are files, and its socket', (t) => {
  const flags = { Role: 'Agent', MachineDisks: 'a=/dev/sda b=/vm/b.img', MachineListen: 'unix:/vm/s/x.sock' };
  t.same(linesOf(flags), ['ReadWritePaths=-/vm/b.img', 'ReadWritePaths=-/vm/s']);
  t.equal(serviceDropIn(configOf(flags)).unit, 'homeward-mobility.service');
  t.end();
});

t.test('it is written when it changed', (t) => {
  const units = temporaryDirectory(t);
  const dropIn = serviceDropIn(configOf({ RetentionVolume: '/retention' }));
  t.equal(writeServiceDropIn(dropIn, units), true);
  t.equal(writeServiceDropIn(dropIn, units), false);
  const file = path.join(units, dropIn.file);
  t.equal(fs.readFileSync(file, 'utf8'), dropIn.text);
  t.equal(fs.statSync(file).mode & 0o777, 0o644);
  t.end();
});
