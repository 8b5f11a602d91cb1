// Writes inside of a machine, each of them flushed, of which is known outside which ones were acknowledged.
import { until } from '../support/homeward.ts';
import type { Machine } from './machine.ts';

const socket = '/run/homeward/web.sock';
const blockBytes = 4096;
const blocks = (64 * 2 ** 20) / blockBytes;

/**
 * The n-th write goes to the n-th block; its content is one byte again and again. What writes is qemu-io; its
 * words for each write that has ended go to the machine's second serial port, and lie on our side of it at
 * that moment.
 */
export class Workload {
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  get acknowledged(): number {
    return this.#machine.notes.match(/wrote 4096\/4096 bytes/g)?.length ?? 0;
  }

  /** Direct ingest of a machine `web`, whose replica is a whole disk. */
  async openOn(device: string): Promise<void> {
    const disk = `sda=64M@${device}`;
    await this.#machine.ok(`homeward ingest open web --disk ${disk} --listen unix:${socket}`, 120_000);
  }

  /** Goes on behind what is acknowledged, in the background. */
  async begin(): Promise<void> {
    const from = this.acknowledged + 1;
    await this.#machine.ok(`
      cat > /root/writes.sh <<'END'
n=$1
while [ $n -lt ${blocks} ]; do echo "write -f -P $((n % 250 + 1)) $((n * 4))k 4k"; n=$((n + 1)); done |
  qemu-io -f raw 'nbd+unix:///sda?socket=${socket}' > /dev/ttyS1 2>&1
END
      setsid nohup sh /root/writes.sh ${from} </dev/null >/dev/null 2>&1 &
    `);
  }

  async untilAcknowledged(count: number): Promise<void> {
    await until(`${count} acknowledged writes`, () => this.acknowledged >= count, 240_000);
  }

  /** Which acknowledged writes are not in the newest point. */
  async missing(listen: string): Promise<string[]> {
    const count = this.acknowledged;
    const from = listen.slice('unix:'.length);
    await this.#machine.ok(`homeward view web --at latest --listen ${listen}`, 120_000);
    const out = await this.#machine.ok(
      `
      n=1
      while [ $n -le ${count} ]; do echo "read -P $((n % 250 + 1)) $((n * 4))k 4k"; n=$((n + 1)); done |
        qemu-io -r -f raw 'nbd+unix:///sda?socket=${from}' > /root/read.txt 2>&1
      echo "read $(grep -c 'read 4096/4096' /root/read.txt)"
      grep -i 'failed\\|error' /root/read.txt | head -n 20
      homeward view close web --all >/dev/null
    `,
      240_000,
    );
    const wrong = out.split('\n').filter((line) => /failed|error/i.test(line));
    const read = Number(/^read (\d+)$/m.exec(out)?.[1]);
    return read === count ? wrong : [...wrong, `${read} of ${count} could be read`];
  }
}
