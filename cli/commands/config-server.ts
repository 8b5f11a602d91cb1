// `homeward config-server`: the daemon in the foreground, until SIGTERM or Ctrl-C.
import { required } from '../operands.ts';
import type { Verb } from '../session.ts';

export interface ConfigServerOptions {
  data?: string;
  listen?: string;
}

export const configServer: Verb<ConfigServerOptions> = async (session, _operands, options) => {
  const { start } = await import('../../config-server/main.ts');
  await start(
    {
      data: session.resolve(required(options.data, '--data')),
      listen: options.listen,
      home: session.io.env['HOME'] ?? null,
      onReady: (ready) => {
        session.result(
          { ready },
          () => `ready: configuration server at ${ready.address}, operator's file ${ready.operatorFile}\n`,
        );
      },
    },
    session.io.interrupts(),
  );
};
