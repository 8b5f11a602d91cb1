// What an ELF file asks of the host: libraries, and the versions of their symbols (`.gnu.version_r`).

export interface Wanted {
  /** DT_NEEDED, in the order of the file. */
  libraries: string[];
  /** By library, such as `libc.so.6`: the version names, such as `GLIBC_2.28`. */
  versions: Record<string, string[]>;
  /** DT_RUNPATH, or null. */
  runpath: string | null;
}

const magic = 0x46_4c_45_7f;
const class64 = 2;
const littleEndian = 1;
const x8664 = 62;
/** Section types, from the System V ABI and its GNU extensions. */
const sectionDynamic = 6;
const sectionVerneed = 0x6f_ff_ff_fe;
const dynamicNeeded = 1;
const dynamicRunpath = 29;

export function isElf(bytes: Buffer): boolean {
  return bytes.length >= 64 && bytes.readUInt32LE(0) === magic;
}

/** For 64-bit x86 only; of another kind it throws. */
export function readWanted(bytes: Buffer): Wanted {
  if (!isElf(bytes)) throw new Error('not an ELF file');
  if (bytes[4] !== class64 || bytes[5] !== littleEndian || bytes.readUInt16LE(18) !== x8664) {
    throw new Error('an ELF file, but not for x86-64');
  }
  const sections = readSections(bytes);
  const wanted: Wanted = { libraries: [], versions: {}, runpath: null };
  for (const section of sections) {
    const strings = sections[section.link];
    if (strings === undefined)
      throw new Error(`a section refers to section ${section.link}, which is missing`);
    const text = (at: number): string => readText(bytes, strings.offset + at);
    if (section.type === sectionDynamic) readDynamic(bytes, section, text, wanted);
    if (section.type === sectionVerneed) readVerneed(bytes, section, text, wanted);
  }
  return wanted;
}

interface Section {
  type: number;
  offset: number;
  size: number;
  link: number;
  /** Of `.gnu.version_r`: how many libraries it names. */
  info: number;
}

function readSections(bytes: Buffer): Section[] {
  const table = Number(bytes.readBigUInt64LE(40));
  const size = bytes.readUInt16LE(58);
  const count = bytes.readUInt16LE(60);
  return Array.from({ length: count }, (_, index) => {
    const at = table + index * size;
    return {
      type: bytes.readUInt32LE(at + 4),
      offset: Number(bytes.readBigUInt64LE(at + 24)),
      size: Number(bytes.readBigUInt64LE(at + 32)),
      link: bytes.readUInt32LE(at + 40),
      info: bytes.readUInt32LE(at + 44),
    };
  });
}

function readDynamic(bytes: Buffer, section: Section, text: (at: number) => string, wanted: Wanted): void {
  for (let at = section.offset; at < section.offset + section.size; at += 16) {
    const tag = Number(bytes.readBigUInt64LE(at));
    const value = Number(bytes.readBigUInt64LE(at + 8));
    if (tag === dynamicNeeded) wanted.libraries.push(text(value));
    if (tag === dynamicRunpath) wanted.runpath = text(value);
  }
}

/** Two chains of records: a library, and below it its versions; each says how far it is to the next. */
function readVerneed(bytes: Buffer, section: Section, text: (at: number) => string, wanted: Wanted): void {
  let library = section.offset;
  for (let left = section.info; left > 0; left -= 1) {
    const names: string[] = [];
    let version = library + bytes.readUInt32LE(library + 8);
    for (let more = bytes.readUInt16LE(library + 2); more > 0; more -= 1) {
      names.push(text(bytes.readUInt32LE(version + 8)));
      version += bytes.readUInt32LE(version + 12);
    }
    wanted.versions[text(bytes.readUInt32LE(library + 4))] = names;
    library += bytes.readUInt32LE(library + 12);
  }
}

function readText(bytes: Buffer, at: number): string {
  return bytes.toString('latin1', at, bytes.indexOf(0, at));
}

/** The highest `PREFIX_x.y.z` that a file asks of any library, or null. */
export function highestWanted({ versions }: Wanted, prefix: string): string | null {
  const numbers = Object.values(versions)
    .flat()
    .filter((name) => name.startsWith(`${prefix}_`))
    .map((name) => name.slice(prefix.length + 1));
  return numbers.toSorted(compareNumbers).at(-1) ?? null;
}

/** `2.9` before `2.28`. */
export function compareNumbers(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
