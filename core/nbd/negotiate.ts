// The option haggling of one connection as a state machine without sockets: bytes in, steps to carry out.
import { limits } from '../limits.ts';
import type { NbdExport, NbdExports } from './export.ts';
import { parseContextOption, parseInfoOption, parseName } from './option-data.ts';
import {
  encodeExportNameAnswer,
  encodeGreeting,
  encodeInfo,
  encodeMetaContext,
  encodeOptionEnd,
  encodeServer,
} from './option-replies.ts';
import {
  allocationContext,
  allocationContextId,
  HandshakeFlag,
  Info,
  Magic,
  Option,
  optionHeaderBytes,
  OptionReply,
} from './protocol.ts';

/** What to do next, in order. After `close` and `transmit` nothing follows. */
export type Step =
  | { do: 'send'; bytes: Buffer }
  /** Hand the socket to TLS, then say `secured()`. */
  | { do: 'start-tls' }
  /** The last `rest` bytes taken in belong to the transmission phase. */
  | { do: 'transmit'; export: NbdExport; structured: boolean; allocation: boolean; rest: number }
  | { do: 'close'; reason: string };

/** `required`: nothing but STARTTLS and ABORT is answered before TLS; `offered`: the client may choose. */
export type TlsMode = 'none' | 'offered' | 'required';

/**
 * Holds at most one option: its header and up to `limits.nbdOptionBytes` of data; longer data is counted, not
 * kept. Never throws, whatever comes in.
 */
export class Negotiation {
  readonly #exports: NbdExports;
  readonly #tls: TlsMode;
  #secure = false;
  #clientFlags: number | null = null;
  #structured = false;
  /** The export that SET_META_CONTEXT chose `base:allocation` for; null when it did not. */
  #allocationFor: string | null = null;
  /** The option whose data is being received. */
  #option: number | null = null;
  #options = 0;
  /** The item being received, at its full length, and how much of it is there. */
  #item: Buffer = Buffer.alloc(4);
  #filled = 0;
  #skip = 0;
  #over = false;
  #steps: Step[] = [];

  constructor(exports: NbdExports, tls: TlsMode) {
    this.#exports = exports;
    this.#tls = tls;
  }

  greeting(): Buffer {
    return encodeGreeting();
  }

  /** Bytes kept until the rest of an option arrives. */
  get heldBytes(): number {
    return this.#item.length;
  }

  /** TLS is up: what was agreed before it does not count (an attacker may have said it). */
  secured(): void {
    this.#secure = true;
    this.#structured = false;
    this.#allocationFor = null;
  }

  /** Takes in what arrived (the bytes are not kept) and returns what is to be done. */
  take(chunk: Uint8Array): Step[] {
    this.#steps = [];
    let at = 0;
    while (!this.#over && at < chunk.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, chunk.length - at);
        this.#skip -= skipped;
        at += skipped;
        continue;
      }
      const part = chunk.subarray(at, at + this.#item.length - this.#filled);
      this.#item.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === this.#item.length) this.#complete(chunk.length - at);
    }
    return this.#steps;
  }

  /** One whole item is held: the client's flags, an option header, or an option's data. */
  #complete(rest: number): void {
    const bytes = this.#item;
    this.#filled = 0;
    this.#item = Buffer.alloc(optionHeaderBytes);
    if (this.#clientFlags === null) this.#takeClientFlags(bytes.readUInt32BE(0));
    else if (this.#option !== null) this.#answer(this.#option, bytes, rest);
    else this.#takeHeader(bytes, rest);
  }

  #takeClientFlags(flags: number): void {
    const known = HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes;
    if ((flags & ~known) !== 0) return this.#close(`client flags ${flags} are unknown`);
    this.#clientFlags = flags;
  }

  #takeHeader(header: Buffer, rest: number): void {
    if (header.readBigUInt64BE(0) !== Magic.option) return this.#close('bad option magic');
    this.#options += 1;
    if (this.#options > limits.nbdOptionsPerConnection) return this.#close('too many options');
    const option = header.readUInt32BE(8);
    const length = header.readUInt32BE(12);
    if (length > limits.nbdOptionBytes) return this.#refuseOversize(option, length);
    if (length === 0) return this.#answer(option, Buffer.alloc(0), rest);
    this.#option = option;
    this.#item = Buffer.alloc(length);
  }

  #refuseOversize(option: number, length: number): void {
    if (option === Option.exportName) return this.#close('export name too long');
    this.#skip = length;
    this.#reply(option, this.#needsTls(option) ? OptionReply.tlsRequired : OptionReply.tooBig);
  }

  #needsTls(option: number): boolean {
    return this.#tls === 'required' && !this.#secure && option !== Option.startTls && option !== Option.abort;
  }

  #answer(option: number, data: Buffer, rest: number): void {
    this.#option = null;
    if (this.#needsTls(option)) {
      // EXPORT_NAME has no way to say no.
      if (option === Option.exportName) return this.#close('TLS required');
      return this.#reply(option, OptionReply.tlsRequired);
    }
    switch (option) {
      case Option.exportName:
        return this.#exportName(data, rest);
      case Option.abort:
        this.#reply(option, OptionReply.ack);
        return this.#close('aborted by the client');
      case Option.list:
        return this.#list(data);
      case Option.startTls:
        return this.#startTls(data, rest);
      case Option.info:
      case Option.go:
        return this.#info(option, data, rest);
      case Option.structuredReply:
        if (data.length > 0) return this.#reply(option, OptionReply.invalid);
        this.#structured = true;
        return this.#reply(option, OptionReply.ack);
      case Option.listMetaContext:
      case Option.setMetaContext:
        return this.#metaContext(option, data);
      default:
        return this.#reply(option, OptionReply.unsupported);
    }
  }

  #exportName(data: Buffer, rest: number): void {
    const name = parseName(data);
    const found = name === null ? null : this.#exports.find(name);
    if (name === null || found === null) return this.#close('no such export');
    const zeroes = ((this.#clientFlags ?? 0) & HandshakeFlag.noZeroes) === 0;
    this.#send(encodeExportNameAnswer(found, this.#structured, zeroes));
    this.#transmit(name, found, rest);
  }

  #list(data: Buffer): void {
    if (data.length > 0) return this.#reply(Option.list, OptionReply.invalid);
    for (const { name, description } of this.#exports.list()) this.#send(encodeServer(name, description));
    this.#reply(Option.list, OptionReply.ack);
  }

  #startTls(data: Buffer, rest: number): void {
    if (this.#tls === 'none') return this.#reply(Option.startTls, OptionReply.unsupported);
    if (data.length > 0 || this.#secure) return this.#reply(Option.startTls, OptionReply.invalid);
    // Plain bytes sent ahead would be taken for bytes that came through TLS.
    if (rest > 0) return this.#close('plain bytes after STARTTLS');
    this.#reply(Option.startTls, OptionReply.ack);
    this.#steps.push({ do: 'start-tls' });
  }

  #info(option: number, data: Buffer, rest: number): void {
    const asked = parseInfoOption(data);
    if (asked === null) return this.#reply(option, OptionReply.invalid);
    const found = this.#exports.find(asked.name);
    if (found === null) return this.#reply(option, OptionReply.unknown);
    for (const info of new Set<number>([Info.export, ...asked.infos])) {
      const bytes = encodeInfo(option, info, found, this.#structured);
      if (bytes !== null) this.#send(bytes);
    }
    this.#reply(option, OptionReply.ack);
    if (option === Option.go) this.#transmit(asked.name, found, rest);
  }

  #metaContext(option: number, data: Buffer): void {
    const set = option === Option.setMetaContext;
    if (set) this.#allocationFor = null;
    const asked = parseContextOption(data);
    if (asked === null || !this.#structured) return this.#reply(option, OptionReply.invalid);
    if (this.#exports.find(asked.name) === null) return this.#reply(option, OptionReply.unknown);
    const matches =
      asked.queries.includes(allocationContext) ||
      (!set && (asked.queries.length === 0 || asked.queries.includes('base:')));
    if (matches) this.#send(encodeMetaContext(option, set ? allocationContextId : 0, allocationContext));
    if (set && matches) this.#allocationFor = asked.name;
    this.#reply(option, OptionReply.ack);
  }

  #transmit(name: string, found: NbdExport, rest: number): void {
    this.#over = true;
    const allocation = this.#structured && this.#allocationFor === name;
    this.#steps.push({ do: 'transmit', export: found, structured: this.#structured, allocation, rest });
  }

  #reply(option: number, reply: OptionReply): void {
    this.#send(encodeOptionEnd(option, reply));
  }

  #send(bytes: Buffer): void {
    this.#steps.push({ do: 'send', bytes });
  }

  #close(reason: string): void {
    this.#over = true;
    this.#steps.push({ do: 'close', reason });
  }
}
