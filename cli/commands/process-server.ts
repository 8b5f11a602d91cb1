// `homeward process-server`: the daemon in the foreground, until SIGTERM or Ctrl-C.
import { dataOption, runService } from '../run-service.ts';
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
  const { data, configServer, listen, advertise, passphraseFile, spoolSize, batchResync, config } = options;
  const { start } = await import('../../process-server/main.ts');
  await runService(session, (signal, ready) =>
    start(
      {
        ...dataOption(session, data),
        ...(configServer === undefined ? {} : { configServer }),
        ...(listen === undefined ? {} : { listen }),
        ...(advertise === undefined ? {} : { advertise }),
        ...(passphraseFile === undefined ? {} : { passphraseFile: session.resolve(passphraseFile) }),
        ...(spoolSize === undefined ? {} : { spoolBytes: spoolSize }),
        ...(batchResync === undefined ? {} : { batchResync }),
        ...(config === undefined ? {} : { config: session.resolve(config) }),
        onReady: (serving: { address: string; addresses: string[] }) => {
          session.result({ ready: serving }, () => `ready: process server at ${serving.address}\n`);
          ready(`serving at ${serving.address}`);
        },
      },
      signal,
    ),
  );
};
