// Seeds in a format that qemu-img reads: what it says is what the operator hears.
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkSeed } from '../../../../agent/ingest/pull/seed.ts';
import { MiB } from '../../../../core/units.ts';

const signal = AbortSignal.timeout(30_000);

t.test('a seed that is no image is refused with what qemu-img says of it', async (t) => {
  const path = join(t.testdir(), 'disk.qcow2');
  fs.writeFileSync(path, 'not an image');
  await t.rejects(checkSeed({ disk: 'root', path, format: 'qcow2' }, MiB, signal), {
    code: 'tool-failed',
    message: /qemu-img/,
  });
});

t.test('without qemu-img it says which package is missing', async (t) => {
  const { PATH } = process.env;
  process.env['PATH'] = t.testdir();
  t.teardown(() => {
    process.env['PATH'] = PATH;
  });
  const path = join(t.testdir({ 'disk.vmdk': '' }), 'disk.vmdk');
  await t.rejects(checkSeed({ disk: 'root', path, format: 'vmdk' }, MiB, signal), {
    code: 'tool-missing',
    hint: /qemu-utils/,
  });
});
