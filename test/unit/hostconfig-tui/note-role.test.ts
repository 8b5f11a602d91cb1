// The role in the file that other tools look into.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { noteRole } from '../../../hostconfig-tui/actions/note-role.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

t.test('it follows the configuration of that installation, and of no other', (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, '.vx_version');
  const config = '/opt/homeward/Vx/etc/drscout.conf';
  noteRole(config, 'MasterTarget', file);
  t.notOk(fs.existsSync(file), 'nothing is installed');
  const text = (role: string): string => `VERSION=1.0.0\nROLE=${role}\nINSTALL_DIR=/opt/homeward\n`;
  fs.writeFileSync(file, text(''));
  noteRole('/elsewhere/drscout.conf', 'Agent', file);
  t.equal(fs.readFileSync(file, 'utf8'), text(''));
  noteRole(config, 'Agent', file);
  t.equal(fs.readFileSync(file, 'utf8'), text('Agent'));
  t.end();
});
