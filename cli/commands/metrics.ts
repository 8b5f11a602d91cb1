// `homeward metrics`: how machines and retention volumes do, in the text format of Prometheus.
import type { FleetReport } from '../../config-server/client.ts';
import type { StatusReport } from '../../agent/control/client.ts';
import { writeAtomicFile } from '../../core/atomic-file.ts';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { formatMetrics, type Measured } from '../../core/registration/metrics.ts';
import type { Verb } from '../session.ts';

export interface MetricsOptions {
  write?: string;
}

export const metrics: Verb<MetricsOptions> = async (session, _operands, { write }) => {
  const report: StatusReport | FleetReport = await session.withClient((client) => client.status());
  const measured = measuredIn(report);
  const text = await formatMetrics(measured);
  if (write === undefined) session.result(measured, () => text);
  else {
    const file = session.resolve(write);
    try {
      writeAtomicFile(file, text, 0o644);
    } catch (cause) {
      const why = `${file} cannot be written: ${errnoOf(cause) ?? String(cause)}`;
      throw new HomewardError('not-writable', why, { cause });
    }
    session.result({ file }, () => '');
  }
};

const measuredIn = (report: StatusReport | FleetReport): Measured => ({
  machines: report.machines,
  volumes: 'retentions' in report ? report.retentions : [report.retention],
});
