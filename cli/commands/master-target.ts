// `homeward master-target`: the daemon in the foreground, until SIGTERM or Ctrl-C.
import { dataOption, runService } from '../run-service.ts';
import type { Verb } from '../session.ts';

export interface MasterTargetOptions {
  data?: string;
  retention?: string;
  replicas?: string;
  control?: string;
  config?: string;
  configServer?: string;
  passphraseFile?: string;
  name?: string;
}

export const masterTarget: Verb<MasterTargetOptions> = async (session, _operands, options) => {
  const optional = (
    name: 'retention' | 'replicas' | 'control' | 'config' | 'passphraseFile',
  ): Record<string, string> => {
    const value = options[name];
    return value === undefined ? {} : { [name]: session.resolve(value) };
  };
  const { start } = await import('../../agent/main.ts');
  await runService(session, (signal, ready) =>
    start(
      {
        ...dataOption(session, options.data),
        ...optional('retention'),
        ...optional('replicas'),
        ...optional('control'),
        ...optional('config'),
        ...optional('passphraseFile'),
        ...(options.configServer === undefined ? {} : { configServer: options.configServer }),
        ...(options.name === undefined ? {} : { name: options.name }),
        onReady: ({ control }: { control: string }) => {
          session.result({ ready: { control } }, () => `ready: control socket ${control}\n`);
          ready(`serving, control socket ${control}`);
        },
      },
      signal,
    ),
  );
};
