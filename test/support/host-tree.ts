// The files of a host that was recorded or described, in memory: a tree of directories, texts and links.
import fs from 'node:fs';
import path from 'node:path';

type Node =
  | { kind: 'directory'; names: Set<string> }
  | { kind: 'file'; content: Buffer }
  | { kind: 'link'; to: string };

/** Paths are absolute; what lies above a new file is made. */
export class HostTree {
  readonly #nodes = new Map<string, Node>([['/', { kind: 'directory', names: new Set() }]]);

  /** As it lies under a directory of this machine. */
  static load(root: string): HostTree {
    const tree = new HostTree();
    const directories = [''];
    for (const at of directories) {
      for (const entry of fs.readdirSync(path.join(root, at), { withFileTypes: true })) {
        const file = `${at}/${entry.name}`;
        const real = path.join(root, file);
        if (entry.isSymbolicLink()) tree.link(file, fs.readlinkSync(real));
        else if (entry.isDirectory()) directories.push(file);
        else tree.write(file, fs.readFileSync(real));
      }
      if (at !== '') tree.directory(at);
    }
    return tree;
  }

  directory(file: string): void {
    if (this.#nodes.get(file)?.kind === 'directory') return;
    this.#put(file, { kind: 'directory', names: new Set() });
  }

  write(file: string, content: string | Uint8Array): void {
    this.#put(file, { kind: 'file', content: Buffer.from(content as Uint8Array) });
  }

  link(file: string, to: string): void {
    this.#put(file, { kind: 'link', to });
  }

  /** Links in what lies above are followed, as the kernel would. */
  #put(file: string, node: Node): void {
    const above = path.dirname(file);
    const known = this.follow(above);
    if (known === null) this.directory(above);
    const parent = known ?? above;
    const at = path.join(parent, path.basename(file));
    const directory = this.#nodes.get(parent);
    if (directory?.kind !== 'directory') throw new Error(`${parent} is no directory`);
    directory.names.add(path.basename(file));
    this.#nodes.set(at, node);
  }

  /** Where a path leads, all links followed; null when there is nothing. */
  follow(file: string): string | null {
    const waiting = file.split('/').reverse();
    let done = '/';
    for (let links = 0; waiting.length > 0;) {
      const part = waiting.pop();
      if (part === undefined || part === '' || part === '.') continue;
      if (part === '..') {
        done = path.dirname(done);
        continue;
      }
      const at = done === '/' ? `/${part}` : `${done}/${part}`;
      const node = this.#nodes.get(at);
      if (node === undefined) return null;
      if (node.kind !== 'link') {
        done = at;
        continue;
      }
      links += 1;
      if (links > 40) return null;
      if (node.to.startsWith('/')) done = '/';
      waiting.push(...node.to.split('/').reverse());
    }
    return this.#nodes.has(done) ? done : null;
  }

  /** Links followed. */
  #at(file: string): Node | undefined {
    const real = this.follow(file);
    return real === null ? undefined : this.#nodes.get(real);
  }

  read(file: string): Buffer | null {
    const node = this.#at(file);
    return node?.kind === 'file' ? node.content : null;
  }

  list(file: string): string[] | null {
    const node = this.#at(file);
    return node?.kind === 'directory' ? [...node.names].sort() : null;
  }

  /** Of a link, as it was written. */
  linkOf(file: string): string | null {
    const parent = this.follow(path.dirname(file));
    const node = parent === null ? undefined : this.#nodes.get(path.join(parent, path.basename(file)));
    return node?.kind === 'link' ? node.to : null;
  }

  kindOf(file: string): 'file' | 'directory' | null {
    const kind = this.#at(file)?.kind;
    return kind === 'file' || kind === 'directory' ? kind : null;
  }

  /** As files under a directory of this machine, as `load` reads them. */
  save(root: string): void {
    for (const [file, node] of this.#nodes) {
      const real = path.join(root, file);
      if (node.kind === 'directory') fs.mkdirSync(real, { recursive: true });
      if (node.kind === 'file') fs.writeFileSync(real, node.content);
      if (node.kind === 'link') fs.symlinkSync(node.to, real);
    }
  }
}
