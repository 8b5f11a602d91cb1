// What a key does on an open page: the fields, and the buttons that act.
import { limits } from '../../core/limits.ts';
import { isServer } from './agent-roles.ts';
import type { Key } from './key.ts';
import type { Changes, Effect, Model } from './model.ts';
import { moveTo, pressPage, saysYes, setButtons, setText, textOf, type Page } from './page.ts';
import {
  buttonsOf,
  readAgentPage,
  readLoggingPage,
  readNatPage,
  runAlone,
  saveAnyway,
  type PageRead,
} from './pages.ts';
import { readServer } from './server-address.ts';

interface Acted {
  page: Page;
  effects: readonly Effect[];
}

export function pressOnPage(before: Page, key: Key, { status, settings }: Model): Acted {
  const { page, chosen, refused } = pressPage(before, key);
  if (refused !== undefined) return quiet({ ...page, message: { tone: 'bad', lines: [refused] } });
  if (chosen === null) return quiet(typedIn(before, page));
  const clear = { ...page, message: null };
  if (chosen.field === 'volumes') return quiet(moveTo(setText(clear, 'retention', chosen.value), 'replicas'));
  switch (page.id) {
    case 'global':
      if (isServer(settings.role)) return refuse(clear, serverItself, 'buttons');
      return actOnGlobal(clear, chosen.value, status.enrolled);
    case 'agent':
    case 'nat':
    case 'logging':
      return actOnSettings(clear, page.id, chosen.value);
  }
}

const quiet = (page: Page): Acted => ({ page, effects: [] });

const serverItself =
  'This host is the configuration server itself: it has none to register with. ' +
  'Others register here, with what `homeward passphrase show` prints.';

/** What was offered after a failure was about what stood there then. */
function typedIn(before: Page, page: Page): Page {
  const changed = page.fields.some((field, at) => field !== before.fields[at] && field.kind !== 'buttons');
  return changed && before.message?.tone === 'bad' ? setButtons(page, buttonsOf(page.id)) : page;
}

function refuse(page: Page, problem: string, field: string): Acted {
  return quiet({ ...moveTo(page, field), message: { tone: 'bad', lines: [problem] } });
}

function actOnGlobal(page: Page, button: string, isEnrolled: boolean): Acted {
  if (button === runAlone.id) return { page, effects: [alone] };
  if (!saysYes(page, 'https')) return refuse(page, onlyHttps, 'https');
  // The label of the button says which port it is about.
  const port = button === 'use-port' ? portOffered(page) : textOf(page, 'port');
  const taken = setText(page, 'port', port);
  const server = readServer(textOf(page, 'address'), port);
  if ('problem' in server) return refuse(taken, server.problem, problemField(server.problem));
  const shown = setText(setText(taken, 'address', server.host), 'port', String(server.port));
  const passphrase = textOf(page, 'passphrase');
  if (button === saveAnyway.id) {
    return { page: shown, effects: [{ kind: 'save', changes: serverChanges(server), says: savedAnyway }] };
  }
  if (passphrase === '' && !isEnrolled) return refuse(shown, needsPassphrase, 'passphrase');
  if (passphrase !== '' && passphrase.length < limits.passphraseCharacters) {
    return refuse(shown, tooShort(passphrase.length), 'passphrase');
  }
  const wanted = { ...server, passphrase: passphrase === '' ? null : passphrase };
  return {
    page: { ...setButtons(shown, buttonsOf('global')), busy: { text: 'Beginning', seconds: 0 } },
    effects: [{ kind: 'register', server: wanted }],
  };
}

const onlyHttps = 'The configuration server speaks https and nothing else: answer Yes.';
const needsPassphrase =
  'Enter the passphrase: `homeward passphrase show` on the configuration server prints it. ' +
  'Without a configuration server choose Run alone.';
const tooShort = (length: number): string =>
  `Passphrase too short: it has ${length} characters, not ${limits.passphraseCharacters}. Copy all of it: ` +
  '`homeward passphrase show` on the configuration server prints it.';
const savedAnyway = [
  'Saved, but this host is not registered: the server could not be used.',
  'The passphrase is not kept. Come back here when the server can be reached.',
];

const alone: Effect = {
  kind: 'save',
  changes: { ConfigServerAddress: '' },
  says: ['Saved. This host runs alone: it has no configuration server.'],
};

export function serverChanges({ host, port }: { host: string; port: number }): Changes {
  return { ConfigServerAddress: host, ConfigServerPort: String(port), UseHttps: 'yes' };
}

const problemField = (problem: string): string => (problem.includes(' port') ? 'port' : 'address');

function portOffered(page: Page): string {
  const field = page.fields.find(({ kind }) => kind === 'buttons');
  const buttons = field?.kind === 'buttons' ? field.buttons : [];
  return /\d+/.exec(buttons.find(({ id }) => id === 'use-port')?.label ?? '')?.[0] ?? '';
}

const readers = { agent: readAgentPage, nat: readNatPage, logging: readLoggingPage } as const;

/** Where a page names places, these are looked at, unless somebody wants them all the same. */
function actOnSettings(page: Page, id: keyof typeof readers, button: string): Acted {
  const read = readers[id](page);
  if ('problem' in read) return refuse(page, read.problem, read.field);
  const changes = newIn(read.changes, readers[id]({ ...page, fields: page.opened }));
  if (id === 'nat' || button === saveAnyway.id)
    return { page, effects: [{ kind: 'save', changes, says: ['Saved.'] }] };
  const busy = { ...page, busy: { text: 'Looking at these places', seconds: 0 } };
  return { page: busy, effects: [{ kind: 'save-places', places: read.changes, changes }] };
}

/** What somebody has changed here: somebody else may have changed the rest meanwhile. */
function newIn(changes: Changes, opened: PageRead): Changes {
  if ('problem' in opened) return changes;
  const entries = Object.entries(changes) as [keyof Changes, string][];
  return Object.fromEntries(entries.filter(([key, value]) => opened.changes[key] !== value));
}
