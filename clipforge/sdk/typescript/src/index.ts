/** ClipForge from TypeScript: a method for each operation of the API, typed, and helpers for what takes several. */

export type { CallOptions, Retries, Upload, WriteOptions } from "./calls.js";
export { Client, type ClientOptions, type WaitOptions } from "./client.js";
export * from "./errors.js";
export type * from "./generated/models.js";
export type { WebhookEvent } from "./generated/operations.js";
export { Pages } from "./pages.js";
export type { SendOptions } from "./sending.js";
export { verifyWebhook } from "./webhooks.js";
