// Enrolment over HTTP: for whoever knows the passphrase, so the only routes without a check of who asks.
import {
  enrolmentBeginSchema,
  enrolmentBegunSchema,
  enrolmentFinishedSchema,
  enrolmentFinishSchema,
} from '../../core/identity/enrolment-messages.ts';
import type { ApiContext, App } from './app.ts';
import { errorShape } from './shapes.ts';

export function addEnrolmentRoutes(app: App, { enrolment }: ApiContext): void {
  app.post(
    '/api/v1/enrolment/begin',
    {
      schema: {
        tags: ['enrolment'],
        summary: 'Begin an enrolment: nonces, salt, and the authority',
        body: enrolmentBeginSchema,
        response: { 200: enrolmentBegunSchema, default: errorShape },
      },
    },
    async ({ body, ip }) => enrolment.begin(body, ip),
  );
  app.post(
    '/api/v1/enrolment/finish',
    {
      schema: {
        tags: ['enrolment'],
        summary: 'Prove the passphrase; a certificate, or wait for an operator',
        body: enrolmentFinishSchema,
        response: { 200: enrolmentFinishedSchema, default: errorShape },
      },
    },
    ({ body, ip }) => enrolment.finish(body, ip),
  );
}
