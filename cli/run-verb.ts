// What every group of verbs needs to add its own: how a verb is run, and options that are given repeatedly.
import type { Command } from 'commander';
import type { Verb } from './session.ts';

/** The action of a command whose verb is loaded when it is asked for. */
export type Run = <O>(load: () => Promise<Verb<O>>) => (this: Command) => Promise<void>;

export const collect = (value: string, values: string[] = []): string[] => [...values, value];
