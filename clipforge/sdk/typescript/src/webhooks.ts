import { Webhook } from "standardwebhooks";

import { InvalidSignature } from "./errors.js";
import type { WebhookEvent } from "./generated/operations.js";

/**
 * The event in a request to your endpoint. `body` is what arrived, byte by byte, before anything parsed it;
 * `secret` begins with `whsec_`. Throws InvalidSignature. An event may come twice, with the same `id`.
 */
export function verifyWebhook(
  body: string | Uint8Array,
  headers: Record<string, string | string[] | undefined>,
  secret: string,
): WebhookEvent {
  const webhook = new Webhook(secret);
  try {
    const text =
      typeof body === "string" ? body : new TextDecoder("utf-8", { fatal: true }).decode(body);
    const first = Object.entries(headers).map(([name, value]) => [
      name.toLowerCase(),
      String(Array.isArray(value) ? value[0] : value),
    ]);
    return webhook.verify(text, Object.fromEntries(first)) as WebhookEvent;
  } catch (error) {
    throw new InvalidSignature(error instanceof Error ? error.message : String(error));
  }
}
