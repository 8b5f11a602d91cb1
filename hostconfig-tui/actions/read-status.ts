// What the status line says: identity on disk, the daemon's word about its last contact, the service.
import { connectControl } from '../../agent/control/client.ts';
import { formatAddress } from '../../core/identity/address.ts';
import { isInForce, readIdentity } from '../../core/identity/host-identity.ts';
import type { HostSettings, Status } from '../model/model.ts';
import { controlOf, type Places } from './places.ts';
import { readService, serviceWords } from './service.ts';

export async function readStatus(places: Places, settings: HostSettings): Promise<Status> {
  const [service, contactSeconds] = await Promise.all([readService(places.unit), readContact(places)]);
  return { ...readRegistered(places, settings), contactSeconds, service: serviceWords(service) };
}

/** Registered is who has an identity and is told to use it, with the server that it is for. */
function readRegistered(
  { data }: Places,
  { configServerAddress: host, configServerPort: port }: HostSettings,
): Pick<Status, 'enrolled' | 'registered'> {
  const identity = readIdentity(data);
  if (identity === null || !isInForce(identity.certificate, Date.now())) {
    return { enrolled: false, registered: null };
  }
  const { hostId, configServer } = identity;
  const isThis = configServer.host === host && configServer.port === port;
  return { enrolled: true, registered: isThis ? { server: formatAddress(host, port), hostId } : null };
}

/** Only a master target has somebody to ask. */
async function readContact(places: Places): Promise<number | null> {
  const control = controlOf(places);
  if (control === null) return null;
  const client = connectControl(control);
  try {
    return (await client.status()).configServer?.contactSeconds ?? null;
  } catch {
    return null; // it starts, stops, or hangs: the service state says so
  } finally {
    await client.close();
  }
}
