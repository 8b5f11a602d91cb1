// Whom a command asks: flags, environment, the usual places, in this order.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { readOperatorFile, whomToAsk } from '../../../cli/whom-to-ask.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

t.test('a flag, then the environment, then the file at home, then the usual socket', async (t) => {
  const home = temporaryDirectory(t);
  const cwd = '/somewhere';
  const usual = path.join(home, '.config/homeward/operator.json');
  const env = { HOME: home, HOMEWARD_CONTROL: 'c', HOMEWARD_OPERATOR: 'o' };
  t.same(whomToAsk({ env, cwd }, { control: 'x' }), { kind: 'daemon', control: '/somewhere/x' });
  t.same(whomToAsk({ env, cwd }, { operator: 'x' }), { kind: 'server', operator: '/somewhere/x' });
  t.throws(() => whomToAsk({ env, cwd }, { control: 'x', operator: 'y' }), { code: 'usage' });
  t.same(whomToAsk({ env, cwd }, {}), { kind: 'daemon', control: '/somewhere/c' });
  t.same(whomToAsk({ env: { ...env, HOMEWARD_CONTROL: '' }, cwd }, {}), {
    kind: 'server',
    operator: '/somewhere/o',
  });
  const none = { kind: 'daemon', control: '/run/homeward/control.sock' };
  t.same(whomToAsk({ env: { HOME: home }, cwd }, {}), none);
  t.same(whomToAsk({ env: {}, cwd }, {}), none);
  fs.mkdirSync(path.dirname(usual), { recursive: true });
  fs.writeFileSync(usual, '{}');
  t.same(whomToAsk({ env: { HOME: home }, cwd }, {}), { kind: 'server', operator: usual });
});

t.test("an operator's file is read, and what is none is said without what is in it", async (t) => {
  const file = path.join(temporaryDirectory(t), 'operator.json');
  t.throws(() => readOperatorFile(file), { code: 'no-such-file' });
  t.throws(() => readOperatorFile(path.dirname(file)), { code: 'no-such-file', message: /EISDIR/ });
  fs.writeFileSync(file, '{"address":"a:1","token":"secret"}');
  t.throws(() => readOperatorFile(file), { code: 'bad-config', message: /^((?!secret).)*$/s });
  const operator = { address: 'a:1', fingerprint: 'AB', token: 'secret' };
  fs.writeFileSync(file, JSON.stringify(operator));
  t.same(readOperatorFile(file), operator);
});
