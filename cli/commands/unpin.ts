// `homeward unpin`: the replica that a recovery in place holds follows the newest writes again.
import type { Verb } from '../session.ts';

export const unpin: Verb<object> = async (session, [machine = '']) => {
  const report = await session.withClient((client) => client.unpin(machine));
  session.result(report, () =>
    report.changed
      ? `The replica of ${report.machine} follows again\n`
      : `The replica of ${report.machine} was not held\n`,
  );
};
