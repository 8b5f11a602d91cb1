// A virtual machine with a serial console and SCSI disks, under QEMU.
import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { runOk } from '../support/homeward.ts';
import { Console, type CommandResult } from './console.ts';
import { Qmp } from './qmp.ts';
import type { RootImage } from './root-image.ts';

export interface VirtualDisk {
  id: string;
  /** A raw file. */
  file: string;
  /** What `/dev/disk/by-id` and the checks see of it; without both it has no identity. */
  serial?: string;
  /** Sixteen hexadecimal digits. */
  wwn?: string;
  readOnly?: boolean;
}

export interface MachineOptions {
  directory: string;
  image: RootImage;
  disks: readonly VirtualDisk[];
}

/** Booting takes about 75 s where the processor is emulated. */
const bootMs = 300_000;

/** What there is while it is switched on. */
interface Running {
  child: ChildProcess;
  console: Console;
  qmp: Qmp;
}

export class Machine {
  readonly #options: MachineOptions;
  readonly #places: Places;
  #running: Running;
  #before = '';

  private constructor(options: MachineOptions, places: Places, running: Running) {
    this.#options = options;
    this.#places = places;
    this.#running = running;
  }

  /** Resolves when root is logged in. */
  static async start(options: MachineOptions): Promise<Machine> {
    const places = placesIn(options.directory);
    const backing = ['-b', options.image.disk, '-F', 'raw'];
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, places.system]);
    return new Machine(options, places, await switchOn(places, options));
  }

  get console(): Console {
    return this.#running.console;
  }

  /** Everything that its console has shown. */
  get transcript(): string {
    return this.#before + this.console.transcript;
  }

  run(command: string, timeoutMs?: number): Promise<CommandResult> {
    return this.console.run(command, timeoutMs);
  }

  /** Runs a command that has to succeed; what it printed. */
  async ok(command: string, timeoutMs?: number): Promise<string> {
    const { status, out } = await this.run(command, timeoutMs);
    if (status !== 0)
      throw new Error(`in the machine, ${command}\nended with ${status}: ${out.slice(-3000)}`);
    return out;
  }

  /** What the second serial port, /dev/ttyS1, was told: it is kept whatever happens to the machine. */
  get notes(): string {
    return fs.readFileSync(this.#places.notes, 'utf8');
  }

  /** Ends it as a power failure does, and starts it anew, from another initial file system if given one. */
  async powerCut(initrd = this.#options.image.initrd): Promise<void> {
    await this.stop();
    this.#before = this.transcript;
    const image = { ...this.#options.image, initrd };
    this.#running = await switchOn(this.#places, { ...this.#options, image });
  }

  async addDisk(disk: VirtualDisk): Promise<void> {
    const { id, file, serial, wwn, readOnly = false } = disk;
    const node = { driver: 'raw', 'node-name': `node-${id}`, 'read-only': readOnly };
    await this.#running.qmp.command('blockdev-add', { ...node, file: { driver: 'file', filename: file } });
    await this.#running.qmp.command('device_add', {
      ...{ driver: 'scsi-hd', id, bus: 'scsi.0', drive: `node-${id}` },
      ...(serial === undefined ? {} : { serial }),
      ...(wwn === undefined ? {} : { wwn: `0x${wwn}` }),
    });
  }

  async removeDisk(id: string): Promise<void> {
    await this.#running.qmp.command('device_del', { id });
    await this.#running.qmp.event('DEVICE_DELETED', 60_000);
  }

  /** Switches it off at once. */
  async stop(): Promise<void> {
    const { child, console, qmp } = this.#running;
    qmp.close();
    console.close();
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }
}

async function switchOn(places: Places, { image, disks }: MachineOptions): Promise<Running> {
  for (const socket of [places.console, places.monitor]) fs.rmSync(socket, { force: true });
  const errors = fs.openSync(places.log, 'a');
  const qemu = ['qemu-system-x86_64', ...qemuArguments(places, image, disks)];
  const child = spawn('nice', ['-n', '5', ...qemu], { stdio: ['ignore', errors, errors] });
  fs.closeSync(errors);
  const ended = new Promise<never>((_resolve, reject) => {
    child.once('exit', () => reject(new Error(`QEMU ended: ${fs.readFileSync(places.log, 'utf8')}`)));
  });
  ended.catch(() => undefined);
  try {
    const [console, qmp] = await Promise.race([
      Promise.all([Console.connect(places.console), Qmp.connect(places.monitor)]),
      ended,
    ]);
    await Promise.race([console.logIn(bootMs), ended]);
    return { child, console, qmp };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

interface Places {
  system: string;
  console: string;
  monitor: string;
  kernel: string;
  notes: string;
  log: string;
}

function placesIn(directory: string): Places {
  const inDirectory = (name: string): string => path.join(directory, name);
  return {
    system: inDirectory('system.qcow2'),
    console: inDirectory('console.sock'),
    monitor: inDirectory('qmp.sock'),
    kernel: inDirectory('kernel.log'),
    notes: inDirectory('notes'),
    log: inDirectory('qemu.log'),
  };
}

/** People's console is a virtio one: the other serial ports cost an emulated processor much per character. */
function qemuArguments(places: Places, image: RootImage, disks: readonly VirtualDisk[]): string[] {
  const system = { id: 'system', file: places.system, serial: 'system', wwn: '5000c50000000001' };
  const options = `
    -nodefaults -no-user-config -machine q35 -smp 2 -m 2G -display none
    -chardev socket,id=console,path=${places.console},server=on,wait=off
    -device virtio-serial-pci -device virtconsole,chardev=console
    -chardev file,id=kernel,path=${places.kernel} -serial chardev:kernel
    -chardev file,id=notes,append=on,path=${places.notes} -serial chardev:notes
    -qmp unix:${places.monitor},server=on,wait=off
    -netdev user,id=net -device virtio-net-pci,netdev=net
    -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng
    -device virtio-scsi-pci,id=scsi`;
  return [
    ...options.trim().split(/\s+/),
    ...processor(),
    ...['-kernel', image.kernel, '-initrd', image.initrd],
    ...[
      '-append',
      'root=LABEL=root rw console=ttyS0 quiet no_timer_check net.ifnames=0 systemd.show_status=false',
    ],
    ...['-blockdev', blockNode('system', places.system, 'qcow2', false), '-device', scsiDisk(system)],
    ...disks.flatMap((disk) => [
      ...['-blockdev', blockNode(disk.id, disk.file, 'raw', disk.readOnly ?? false)],
      ...['-device', scsiDisk(disk)],
    ]),
  ];
}

/** Emulated, which works on any machine; HOMEWARD_VM_KVM=1 asks for what the processor can do. */
function processor(): string[] {
  return process.env['HOMEWARD_VM_KVM'] === '1'
    ? ['-accel', 'kvm', '-cpu', 'max,-arch-capabilities']
    : ['-accel', 'tcg,thread=multi', '-cpu', 'max'];
}

function blockNode(id: string, file: string, format: 'raw' | 'qcow2', readOnly: boolean): string {
  return JSON.stringify({
    driver: format,
    'node-name': `node-${id}`,
    'read-only': readOnly,
    discard: 'unmap',
    // What the machine flushed survives it in our memory; the host itself is not what is tested.
    cache: { 'no-flush': true },
    file: { driver: 'file', filename: file, 'read-only': readOnly, discard: 'unmap' },
  });
}

function scsiDisk({ id, serial, wwn }: VirtualDisk): string {
  const names = [serial === undefined ? '' : `,serial=${serial}`, wwn === undefined ? '' : `,wwn=0x${wwn}`];
  return `scsi-hd,id=${id},bus=scsi.0,drive=node-${id}${names.join('')}`;
}
