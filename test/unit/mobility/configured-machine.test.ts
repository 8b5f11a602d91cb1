// The machine that a configuration file names.
import t from 'tap';
import { loadConfig, type SettingKey } from '../../../core/config.ts';
import { silentLog } from '../../../core/log.ts';
import { configuredMachine } from '../../../mobility/configured-machine.ts';

const configured = (flags: Partial<Record<SettingKey, string>>) =>
  configuredMachine(loadConfig({ file: null, environment: {}, flags, log: silentLog }), 'host.example');

t.test('its disks are read as on the command line, its name is that of the host unless it has one', (t) => {
  const flags = { MachineDisks: ' root=/dev/sda  data=/dev/sdb', MachineListen: 'unix:/run/homeward/w.sock' };
  const disks = [
    { name: 'root', path: '/dev/sda' },
    { name: 'data', path: '/dev/sdb' },
  ];
  const listen = 'unix:/run/homeward/w.sock';
  t.same(configured(flags), { machine: 'host.example', disks, listen });
  t.same(configured({ ...flags, MachineName: 'web' }), { machine: 'web', disks, listen });
  t.end();
});

t.test('what is missing or wrong is said', (t) => {
  t.throws(() => configured({}), { code: 'bad-config', message: /MachineDisks is empty/ });
  t.throws(() => configured({ MachineDisks: 'a=/x' }), { code: 'bad-config', message: /MachineListen/ });
  for (const wrong of ['a', '=/x', 'a=x'])
    t.throws(() => configured({ MachineDisks: wrong, MachineListen: 'unix:/s' }), {
      code: 'bad-config',
      message: /is not NAME=PATH/,
    });
  t.end();
});
