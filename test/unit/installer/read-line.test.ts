// How the installer reads an answer: whole, also when it comes in pieces, and as the user meant it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';

/** Longer than one wait of read_line. */
const pauseMs = 1_300;

async function answerTo(pieces: readonly string[]): Promise<string> {
  const program = '. installer/lib/read-line.sh; read_line; printf "%s:%s" "$?" "$answer"';
  const child = spawn('bash', ['-u', '-c', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  for (const [at, piece] of pieces.entries()) {
    if (at > 0) await delay(pauseMs);
    child.stdin.write(piece);
  }
  child.stdin.end();
  await once(child, 'close');
  return out;
}

t.test('an answer is what was typed up to Enter, whenever it comes', async (t) => {
  const cases = [
    [['/srv/asr\nmore\n'], '0:/srv/asr'],
    [['  /srv/as', 'r  ', '\nmore\n'], '0:/srv/asr'],
    [['nn\b\u007fyes\r\n'], '0:yes'],
    [['\u001b[200~/srv/pasted\u001b[201~\n'], '0:/srv/pasted'],
    [['\n'], '0:'],
    [['/srv', '/as'], '1:/srv/as'],
    [[], '1:'],
  ] as const;
  const answers = await Promise.all(cases.map(([pieces]) => answerTo(pieces)));
  for (const [at, [pieces, wanted]] of cases.entries()) {
    t.equal(answers[at], wanted, JSON.stringify(pieces));
  }
});
