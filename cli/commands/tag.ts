// `homeward tag`: names the present moment of a machine.
import { required } from '../operands.ts';
import type { Verb } from '../session.ts';
import { formatMoment } from '../table.ts';

export interface TagOptions {
  name?: string;
}

export const tag: Verb<TagOptions> = async (session, [machine = ''], options) => {
  const name = required(options.name, '--name');
  const report = await session.withClient((client) => client.tag(machine, name));
  session.result(
    report,
    () => `Tagged ${report.machine} as "${report.name}" (${report.consistency}): ${formatMoment(report)}\n`,
  );
};
