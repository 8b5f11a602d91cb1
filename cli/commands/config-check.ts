// `homeward config check`: what is wrong with a configuration, before a daemon starts with it.
import { checkConfig, type ConfigProblem } from '../../core/config.ts';
import { ExitStatus } from '../../core/errors.ts';
import type { Verb } from '../session.ts';

export interface ConfigCheckOptions {
  config?: string;
}

export const configCheck: Verb<ConfigCheckOptions> = async (session, _operands, options) => {
  const file = options.config === undefined ? null : session.resolve(options.config);
  const problems = checkConfig({ file, environment: session.io.env });
  session.result({ ok: problems.length === 0, file, problems }, () => formatProblems(file, problems));
  return problems.length === 0 ? ExitStatus.done : ExitStatus.found;
};

function formatProblems(file: string | null, problems: readonly ConfigProblem[]): string {
  const what = file === null ? 'The environment (no --config FILE given)' : file;
  if (problems.length === 0) return `${what} is in order\n`;
  return (
    `${what} has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}\n` +
    problems.map(({ message }) => `  ${message}\n`).join('')
  );
}
