// `homeward process-server`: the daemon in the foreground, until SIGTERM or Ctrl-C.
import { required } from '../operands.ts';
import type { Verb } from '../session.ts';

export interface ProcessServerOptions {
  data?: string;
  listen?: string;
  configServer?: string;
  passphraseFile?: string;
  advertise?: string[];
  spoolSize?: string;
  batchResync?: string;
  config?: string;
}

export const processServer: Verb<ProcessServerOptions> = async (session, _operands, options) => {
  const { listen, advertise, passphraseFile, spoolSize, batchResync, config } = options;
  const { start } = await import('../../process-server/main.ts');
  await start(
    {
      data: session.resolve(required(options.data, '--data')),
      configServer: required(options.configServer, '--config-server'),
      ...(listen === undefined ? {} : { listen }),
      ...(advertise === undefined ? {} : { advertise }),
      ...(passphraseFile === undefined ? {} : { passphraseFile: session.resolve(passphraseFile) }),
      ...(spoolSize === undefined ? {} : { spoolBytes: spoolSize }),
      ...(batchResync === undefined ? {} : { batchResync }),
      ...(config === undefined ? {} : { config: session.resolve(config) }),
      onReady: (ready: { address: string; addresses: string[] }) => {
        session.result({ ready }, () => `ready: process server at ${ready.address}\n`);
      },
    },
    session.io.interrupts(),
  );
};
