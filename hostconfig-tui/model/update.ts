// What each event makes of the model, and what is to be done about it.
import { helpOn, menuHelp } from './help.ts';
import { isNamed, type Key } from './key.ts';
import {
  isTooSmall,
  menu,
  pageOfMenu,
  type Effect,
  type Event,
  type Fault,
  type Model,
  type Updated,
} from './model.ts';
import { accept, buttonsOf, openPage, saveAnyway, usePort } from './pages.ts';
import { moveTo, setButtons, withField, type Message, type Page } from './page.ts';
import { pressOnPage } from './press-page.ts';

export function update(model: Model, event: Event): Updated {
  switch (event.kind) {
    case 'key':
      return pressed(model, event.key);
    case 'resize':
      return only({ ...model, size: event.size });
    case 'status':
      return only({ ...model, status: event.status, settings: event.settings });
    case 'volumes':
      return only(onPage(model, 'agent', (page) => withVolumes(page, event.rows)));
    case 'log':
      return only(onPage(model, 'logging', (page) => ({ ...page, tail: event.lines })));
    case 'progress':
      return only(onAnyPage(model, (page) => ({ ...page, busy: { text: event.text, seconds: 0 } })));
    case 'tick':
      return only(onAnyPage(model, ticked));
    case 'failed':
      return only(onAnyPage(model, (page) => failed(page, event.fault)));
    case 'stopped':
      return only(onAnyPage(model, (page) => said(page, plain('Stopped. Nothing was saved.'))));
    case 'saved':
      return only(saved(model, event));
  }
}

const only = (model: Model, ...effects: Effect[]): Updated => ({ model, effects });

function pressed(model: Model, key: Key): Updated {
  if (isNamed(key, 'interrupt')) return only(model, { kind: 'cancel' }, { kind: 'quit', status: 130 });
  if (isNamed(key, 'redraw')) return only(model, { kind: 'redraw' });
  // What cannot be seen is not typed into.
  if (isTooSmall(model.size)) return only(model);
  if (model.help !== null) return only({ ...model, help: null });
  if (key.kind === 'text' && key.text === '?') return only({ ...model, help: helpHere(model) });
  return model.page === null ? pressMenu(model, key) : pressPageKey(model, model.page, key);
}

function helpHere({ page, menuAt }: Model): Model['help'] {
  if (page === null) return menuHelp[menuAt] ?? null;
  return helpOn(page.id, page.fields[page.at]?.id ?? '');
}

function pressMenu(model: Model, key: Key): Updated {
  const { menuAt } = model;
  const last = menu.length - 1;
  if (isNamed(key, 'right', 'tab')) return only({ ...model, menuAt: Math.min(menuAt + 1, last) });
  if (isNamed(key, 'left', 'back-tab')) return only({ ...model, menuAt: Math.max(menuAt - 1, 0) });
  if (isNamed(key, 'home')) return only({ ...model, menuAt: 0 });
  if (isNamed(key, 'end')) return only({ ...model, menuAt: last });
  if (isNamed(key, 'enter', 'down')) return choose(model, isNamed(key, 'enter'));
  return only(model);
}

/** Only Enter leaves; the arrow that opens a page does not end the program. */
function choose(model: Model, entered: boolean): Updated {
  const id = pageOfMenu[model.menuAt] ?? null;
  if (id === null) return entered ? only(model, { kind: 'quit', status: 0 }) : only(model);
  const opened = { ...model, page: openPage(id, model) };
  if (id === 'agent') return only(opened, { kind: 'look-for-volumes' });
  if (id === 'logging') return only(opened, { kind: 'follow-log', on: true });
  return only(opened);
}

function pressPageKey(model: Model, page: Page, key: Key): Updated {
  if (page.busy !== null)
    return only(model, ...(isNamed(key, 'escape') ? [{ kind: 'cancel' } as const] : []));
  if (isNamed(key, 'escape')) {
    const closed = { ...model, page: null };
    return page.id === 'logging' ? only(closed, { kind: 'follow-log', on: false }) : only(closed);
  }
  const { page: next, effects } = pressOnPage(page, key, model);
  return { model: { ...model, page: next }, effects };
}

const onPage = (model: Model, id: Page['id'], change: (page: Page) => Page): Model =>
  model.page?.id === id ? { ...model, page: change(model.page) } : model;

const onAnyPage = (model: Model, change: (page: Page) => Page): Model =>
  model.page === null ? model : { ...model, page: change(model.page) };

function ticked(page: Page): Page {
  if (page.busy === null) return page;
  return { ...page, busy: { ...page.busy, seconds: page.busy.seconds + 1 } };
}

function withVolumes(page: Page, rows: Extract<Event, { kind: 'volumes' }>['rows']): Page {
  const field = page.fields.find(({ id }) => id === 'volumes');
  if (field?.kind !== 'list') return page;
  return withField(page, { ...field, rows, at: 0, rest: 'none' });
}

const plain = (line: string): Message => ({ tone: 'plain', lines: [line] });

const said = (page: Page, message: Message): Page => ({ ...page, busy: null, message });

/**
 * The cursor comes to lie on what most probably helps: the port that answers, else trying again. Saving all
 * the same is one step further, so that a second Enter does not do it.
 */
function failed(page: Page, fault: Fault): Page {
  const { usualPort, canSave, what, hint } = fault;
  const buttons = [
    ...(usualPort === null ? [] : [usePort(usualPort)]),
    ...buttonsOf(page.id),
    ...(canSave ? [saveAnyway] : []),
  ];
  const offered = setButtons(page, buttons, usualPort === null ? accept.id : usePort(usualPort).id);
  const then = usualPort === null ? hint : `${hint} Enter takes that port.`;
  const message: Message = { tone: 'bad', lines: [what, `${then} Nothing was saved.`] };
  return said(moveTo(offered, 'buttons'), message);
}

function saved(model: Model, { lines, settings, status }: Extract<Event, { kind: 'saved' }>): Model {
  const known = { ...model, settings, status };
  return onAnyPage(known, (page) => {
    const fresh = moveTo(openPage(page.id, known), 'buttons');
    const volumes = page.fields.find(({ id }) => id === 'volumes');
    const kept = volumes === undefined ? fresh : withField(fresh, volumes);
    return { ...kept, tail: page.tail, message: { tone: 'good', lines } };
  });
}
