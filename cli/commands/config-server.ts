// `homeward config-server`: the daemon in the foreground, until SIGTERM or Ctrl-C.
import { dataOption, runService } from '../run-service.ts';
import type { Verb } from '../session.ts';

export interface ConfigServerOptions {
  data?: string;
  listen?: string;
  config?: string;
}

export const configServer: Verb<ConfigServerOptions> = async (session, _operands, options) => {
  const { start } = await import('../../config-server/main.ts');
  const { data, config } = options;
  await runService(session, (signal, ready) =>
    start(
      {
        ...dataOption(session, data),
        config: config === undefined ? undefined : session.resolve(config),
        listen: options.listen,
        home: session.io.env['HOME'] ?? null,
        onReady: (serving) => {
          const { address, operatorFile } = serving;
          session.result(
            { ready: serving },
            () => `ready: configuration server at ${address}, operator's file ${operatorFile}\n`,
          );
          ready(`serving at ${address}`);
        },
      },
      signal,
    ),
  );
};
