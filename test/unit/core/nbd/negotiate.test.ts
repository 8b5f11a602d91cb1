// Every NBD option, its answers and refusals, and that nothing a client says throws or fills memory.
import fc from 'fast-check';
import t from 'tap';
import { memoryStore } from '../../../../core/block/memory-store.ts';
import { limits } from '../../../../core/limits.ts';
import type { NbdExports } from '../../../../core/nbd/export.ts';
import { Negotiation, type Step, type TlsMode } from '../../../../core/nbd/negotiate.ts';
import { Info, Option, OptionReply } from '../../../../core/nbd/protocol.ts';
import { exportList } from '../../../../core/nbd/export-list.ts';
import { storeExport } from '../../../../core/nbd/store-export.ts';
import {
  encodeContexts,
  encodeGo,
  encodeOption,
  encodeString,
  encodeU16,
  encodeU32,
} from '../../../support/nbd-client.ts';
import { chooseSeed } from '../../../support/random.ts';

const size = 5 * 2 ** 40;
const two = exportList([
  storeExport({ name: 'disk0', description: 'the first', store: memoryStore(size) }),
  storeExport({ name: 'диск', store: memoryStore(512), readOnly: true }),
]);
/** As a server that has a default besides. */
const exports: NbdExports = {
  list: () => two.list(),
  find: (name) => two.find(name === '' ? 'disk0' : name),
};

function start(tls: TlsMode = 'none', flags = 3): Negotiation {
  const negotiation = new Negotiation(exports, tls);
  negotiation.take(encodeU32(flags));
  return negotiation;
}

/** The reply types of the steps (EXPORT_NAME's answer has none), with other steps by name. */
const told = (steps: Step[]): (string | number)[] =>
  steps.map((step) => {
    if (step.do !== 'send') return step.do;
    return step.bytes.length >= 20 && step.bytes.length !== 134 ? step.bytes.readUInt32BE(12) : 'named';
  });

const ask = (negotiation: Negotiation, option: number, data?: Uint8Array): (string | number)[] =>
  told(negotiation.take(encodeOption(option, data)));

const sent = (step: Step | undefined): Buffer => (step?.do === 'send' ? step.bytes : Buffer.alloc(0));

t.test('the greeting offers fixed newstyle without zeroes', async (t) => {
  t.equal(
    new Negotiation(exports, 'none').greeting().toString('hex'),
    '4e42444d4147494349484156454f50540003',
  );
});

t.test('GO answers with size and flags, and with block sizes, name and description when asked', async (t) => {
  const steps = start().take(
    encodeOption(Option.go, encodeGo('', Info.blockSize, Info.name, Info.description, 99, 0)),
  );
  t.same(told(steps), [
    OptionReply.info,
    OptionReply.info,
    OptionReply.info,
    OptionReply.info,
    OptionReply.ack,
    'transmit',
  ]);
  const [info, sizes, name, description] = steps.map(sent);
  t.equal(info?.readBigUInt64BE(22), BigInt(size));
  t.equal(
    info?.readUInt16BE(30).toString(2),
    '101101101',
    'flags, flush, FUA, trim, write zeroes, multi-conn',
  );
  t.same(
    [22, 26, 30].map((at) => sizes?.readUInt32BE(at)),
    [1, 4096, 32 * 2 ** 20],
  );
  t.equal(name?.toString('utf8', 22), 'disk0', 'the default export tells its name');
  t.equal(description?.toString('utf8', 22), 'the first');
});

t.test('a read-only export offers no trim and no zeroes', async (t) => {
  const [info] = start()
    .take(encodeOption(Option.info, encodeGo('диск')))
    .map(sent);
  t.equal(info?.readUInt16BE(30).toString(2), '100001111');
});

t.test('INFO tells the same as GO and stays in negotiation', async (t) => {
  const negotiation = start();
  t.same(ask(negotiation, Option.info, encodeGo('disk0')), [OptionReply.info, OptionReply.ack]);
  t.same(ask(negotiation, Option.info, encodeGo('nothing')), [OptionReply.unknown]);
  t.same(ask(negotiation, Option.go, encodeGo('nothing')), [OptionReply.unknown]);
});

t.test('LIST names every export', async (t) => {
  const steps = start().take(encodeOption(Option.list));
  t.same(told(steps), [OptionReply.server, OptionReply.server, OptionReply.ack]);
  t.equal(sent(steps[0]).toString('utf8', 24), 'disk0the first');
  t.equal(sent(steps[1]).toString('utf8', 24), 'диск');
  t.same(ask(start(), Option.list, Buffer.from('x')), [OptionReply.invalid]);
});

t.test('EXPORT_NAME goes straight to transmission, with zeroes for those who want them', async (t) => {
  const steps = start().take(encodeOption(Option.exportName, Buffer.from('disk0')));
  t.equal(sent(steps[0]).length, 10);
  t.match(steps[1], { do: 'transmit', structured: false, allocation: false, rest: 0 });
  t.equal(sent(start('none', 1).take(encodeOption(Option.exportName, Buffer.from('disk0')))[0]).length, 134);
  t.same(ask(start(), Option.exportName, Buffer.from('nothing')), ['close']);
});

t.test('bytes after GO are left to the transmission phase', async (t) => {
  const negotiation = start();
  const steps = negotiation.take(
    Buffer.concat([encodeOption(Option.go, encodeGo('')), Buffer.from('12345')]),
  );
  t.match(steps.at(-1), { do: 'transmit', rest: 5 });
  t.same(negotiation.take(encodeOption(Option.list)), [], 'and nothing is taken any more');
});

t.test('structured replies and base:allocation are agreed on', async (t) => {
  const negotiation = start();
  t.same(ask(negotiation, Option.setMetaContext, encodeContexts('disk0', 'base:allocation')), [
    OptionReply.invalid,
  ]);
  t.same(ask(negotiation, Option.structuredReply, Buffer.from('x')), [OptionReply.invalid]);
  t.same(ask(negotiation, Option.structuredReply), [OptionReply.ack]);
  const { listMetaContext, setMetaContext } = Option;
  const { ack, metaContext, unknown } = OptionReply;
  t.same(ask(negotiation, listMetaContext, encodeContexts('disk0')), [metaContext, ack], 'all there are');
  t.same(ask(negotiation, listMetaContext, encodeContexts('disk0', 'base:')), [metaContext, ack]);
  t.same(ask(negotiation, listMetaContext, encodeContexts('disk0', 'qemu:')), [ack]);
  t.same(ask(negotiation, listMetaContext, encodeContexts('nothing')), [unknown]);
  t.same(ask(negotiation, setMetaContext, encodeContexts('disk0')), [ack], 'none asked, none selected');
  t.same(
    ask(negotiation, setMetaContext, encodeContexts('disk0', 'base:')),
    [ack],
    'a namespace selects nothing',
  );
  t.same(ask(negotiation, setMetaContext, encodeContexts('disk0', 'x:y', 'base:allocation')), [
    metaContext,
    ack,
  ]);
  t.match(negotiation.take(encodeOption(Option.go, encodeGo('disk0'))).at(-1), {
    structured: true,
    allocation: true,
  });
});

t.test('a context chosen for one export does not hold for another, nor after a failed choice', async (t) => {
  for (const second of [
    encodeContexts('nothing', 'base:allocation'),
    Buffer.from('garbage'),
    encodeContexts('диск'),
  ]) {
    const negotiation = start();
    ask(negotiation, Option.structuredReply);
    ask(negotiation, Option.setMetaContext, encodeContexts('disk0', 'base:allocation'));
    ask(negotiation, Option.setMetaContext, second);
    t.match(negotiation.take(encodeOption(Option.go, encodeGo('disk0'))).at(-1), {
      structured: true,
      allocation: false,
    });
  }
});

t.test('ABORT is acknowledged, unknown options are refused in words of the protocol', async (t) => {
  t.same(ask(start(), Option.abort), [OptionReply.ack, 'close']);
  for (const option of [0, Option.peekExport, Option.extendedHeaders, 12, 4_000_000_000]) {
    t.same(ask(start(), option, Buffer.from('whatever')), [OptionReply.unsupported]);
  }
});

t.test('data whose lengths do not add up is invalid', async (t) => {
  const bad = [
    Buffer.alloc(0),
    encodeString('disk0'),
    encodeU32(4_000_000_000),
    Buffer.concat([encodeString('disk0'), encodeU16(1)]),
    Buffer.concat([encodeGo('disk0'), Buffer.from('x')]),
    Buffer.concat([encodeU32(2), Buffer.from([0xff, 0xfe]), encodeU16(0)]),
    encodeGo('x'.repeat(4097)),
  ];
  for (const data of bad) t.same(ask(start(), Option.go, data), [OptionReply.invalid]);
  const badContexts = [
    Buffer.alloc(3),
    Buffer.concat([encodeString('disk0'), encodeU32(4_000_000_000)]),
    Buffer.concat([encodeContexts('disk0', 'base:allocation'), Buffer.from('x')]),
  ];
  for (const data of badContexts) {
    const negotiation = start();
    ask(negotiation, Option.structuredReply);
    t.same(ask(negotiation, Option.setMetaContext, data), [OptionReply.invalid]);
  }
});

t.test('oversize data is counted off and refused, and the next option is understood', async (t) => {
  const negotiation = start();
  const most = limits.nbdOptionBytes;
  t.same(ask(negotiation, Option.go, Buffer.alloc(most + 1)), [OptionReply.tooBig]);
  t.same(ask(negotiation, 77, Buffer.alloc(most * 3)), [OptionReply.tooBig]);
  t.same(ask(negotiation, 77, Buffer.alloc(most)), [OptionReply.unsupported]);
  t.same(ask(negotiation, Option.exportName, Buffer.alloc(most + 1)), ['close']);
});

t.test('options without end are cut off', async (t) => {
  const negotiation = start();
  for (let i = 0; i < limits.nbdOptionsPerConnection; i++) ask(negotiation, 77);
  t.same(ask(negotiation, 77), ['close']);
});

t.test('unknown client flags and a wrong magic end the connection', async (t) => {
  t.same(told(new Negotiation(exports, 'none').take(encodeU32(4))), ['close']);
  t.same(told(start().take(Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'))), ['close']);
});

t.test('before required TLS nothing but STARTTLS and ABORT is answered', async (t) => {
  for (const option of [
    Option.list,
    Option.info,
    Option.go,
    Option.structuredReply,
    Option.setMetaContext,
    99,
  ]) {
    t.same(ask(start('required'), option), [OptionReply.tlsRequired]);
  }
  t.same(ask(start('required'), Option.go, Buffer.alloc(limits.nbdOptionBytes + 1)), [
    OptionReply.tlsRequired,
  ]);
  t.same(ask(start('required'), Option.exportName, Buffer.from('disk0')), ['close']);
  t.same(ask(start('required'), Option.abort), [OptionReply.ack, 'close']);
  const negotiation = start('required');
  t.same(ask(negotiation, Option.startTls), [OptionReply.ack, 'start-tls']);
  negotiation.secured();
  t.same(ask(negotiation, Option.list), [OptionReply.server, OptionReply.server, OptionReply.ack]);
  t.same(ask(negotiation, Option.startTls), [OptionReply.invalid], 'once is enough');
});

t.test(
  'STARTTLS: refused where there is none, forgets what was agreed, takes no plain bytes with it',
  async (t) => {
    t.same(ask(start(), Option.startTls), [OptionReply.unsupported]);
    t.same(ask(start('offered'), Option.startTls, Buffer.from('x')), [OptionReply.invalid]);
    const negotiation = start('offered');
    ask(negotiation, Option.structuredReply);
    ask(negotiation, Option.startTls);
    negotiation.secured();
    t.match(negotiation.take(encodeOption(Option.go, encodeGo(''))).at(-1), {
      do: 'transmit',
      structured: false,
    });
    const both = Buffer.concat([encodeOption(Option.startTls), encodeOption(Option.go, encodeGo(''))]);
    t.same(told(start('offered').take(both)), ['close']);
  },
);

t.test('whatever a client says in whatever pieces, nothing throws and little is held', async (t) => {
  const option = fc
    .tuple(
      fc.oneof(fc.integer({ min: 0, max: 12 }), fc.nat()),
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.constantFrom(
          encodeGo(''),
          encodeGo('disk0', 3),
          encodeContexts('disk0', 'base:allocation'),
          Buffer.from('disk0'),
        ),
      ),
    )
    .map(([number, data]) => encodeOption(number, data));
  const item = fc.oneof(
    { weight: 5, arbitrary: option },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }) },
  );
  const talk = fc.tuple(
    fc.boolean(),
    fc.array(item, { maxLength: 12 }),
    fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }),
  );
  fc.assert(
    fc.property(
      talk,
      fc.constantFrom<TlsMode>('none', 'offered', 'required'),
      ([flags, items, pieces], tls) => {
        const all = Buffer.concat([flags ? encodeU32(3) : Buffer.alloc(0), ...items]);
        const whole = new Negotiation(exports, tls);
        const parts = new Negotiation(exports, tls);
        const steps: Step[] = [];
        for (let at = 0, i = 0; at < all.length; i++) {
          const piece = all.subarray(at, at + (pieces[i % pieces.length] ?? 1));
          for (const step of parts.take(piece)) {
            steps.push(step);
            if (parts.heldBytes > limits.nbdOptionBytes) throw new Error('holds too much');
          }
          at += piece.length;
        }
        const expected = told(whole.take(all));
        // In one piece there are bytes behind STARTTLS; in several they come too late to be seen with it.
        if (!expected.includes('close') && !expected.includes('start-tls')) t.same(told(steps), expected);
        const ends = steps.findIndex((step) => step.do === 'close' || step.do === 'transmit');
        if (ends >= 0 && ends !== steps.length - 1) throw new Error('something follows the end');
      },
    ),
    { numRuns: 500, seed: chooseSeed(t) },
  );
});
