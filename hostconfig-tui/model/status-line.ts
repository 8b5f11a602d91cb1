// The status line: registered or not, with what server, last contact, service state.
import { isServer } from './agent-roles.ts';
import type { HostSettings, Status } from './model.ts';

export function statusParts(
  { registered, contactSeconds, service }: Status,
  role: HostSettings['role'],
): string[] {
  if (isServer(role)) return ['This is the configuration server', `service ${service ?? 'not installed'}`];
  return [
    registered === null ? 'Not registered' : `Registered with ${registered.server}`,
    ...(registered === null ? [] : [`last contact ${contactWords(contactSeconds)}`]),
    `service ${service ?? 'not installed'}`,
  ];
}

function contactWords(seconds: number | null): string {
  if (seconds === null) return 'unknown';
  if (seconds < 90) return `${Math.max(Math.round(seconds), 0)} s ago`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}
