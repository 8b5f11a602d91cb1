// What kind of host this is, by systeminformation: for people, and for whoever is asked for help.
import { get } from 'systeminformation';

export interface Inventory {
  manufacturer: string;
  model: string;
  /** What it is virtual on, or null for a machine of metal. */
  virtual: string | null;
  system: string;
  kernel: string;
  processors: number;
  memoryBytes: number;
}

/** Asks the host's own programs; what it does not tell is empty. */
export async function readInventory(): Promise<Inventory> {
  const found = (await get({
    system: 'manufacturer, model, virtual, virtualHost',
    osInfo: 'distro, release, kernel',
    cpu: 'cores',
    mem: 'total',
  })) as Asked;
  const { system = {}, osInfo = {}, cpu = {}, mem = {} } = found;
  return {
    manufacturer: system.manufacturer ?? '',
    model: system.model ?? '',
    virtual: system.virtual === true ? system.virtualHost || 'unknown' : null,
    system: [osInfo.distro, osInfo.release].filter((word) => word !== undefined && word !== '').join(' '),
    kernel: osInfo.kernel ?? '',
    processors: cpu.cores ?? 0,
    memoryBytes: mem.total ?? 0,
  };
}

/** The library types what was asked for as anything. */
interface Asked {
  system?: { manufacturer?: string; model?: string; virtual?: boolean; virtualHost?: string };
  osInfo?: { distro?: string; release?: string; kernel?: string };
  cpu?: { cores?: number };
  mem?: { total?: number };
}
