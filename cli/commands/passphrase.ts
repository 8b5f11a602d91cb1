// `homeward passphrase show` and `rotate`: the passphrase alone on its line, as a passphrase file wants it.
import type { Verb } from '../session.ts';

export const passphraseShow: Verb<object> = async (session) => {
  const passphrase = await session.withServer((server) => server.passphrase());
  session.result({ passphrase }, () => `${passphrase}\n`);
};

export const passphraseRotate: Verb<object> = async (session) => {
  const passphrase = await session.withServer((server) => server.rotatePassphrase());
  session.result({ passphrase }, () => `${passphrase}\n`);
};
