/** One call: sent, sent again where that is safe, and its answer or its error. */

import { APIError, ClipForgeError, NoAnswer } from "./errors.js";
import { VERSION } from "./version.js";

/** A file to upload, and how it is called. */
export interface Upload {
  blob: Blob;
  name: string;
}

export interface CallOptions {
  /** Ends the call, and the pauses between its attempts. */
  signal?: AbortSignal;
}

export interface WriteOptions extends CallOptions {
  /** A fresh one unless given: the same key and request has one effect. */
  idempotencyKey?: string;
}

/** How a call is repeated: so many attempts in all, none after a pause of more than so many seconds. */
export interface Retries {
  attempts: number;
  longestPause: number;
}

export interface Call extends WriteOptions {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  address: string;
  path?: Record<string, string>;
  query?: object;
  body?: unknown;
  /** A body that is sent as it is, and its type. */
  content?: Blob;
  contentType?: string;
  file?: Upload;
  headers?: Record<string, string>;
  idempotent?: boolean;
  /** Whether the answer is a file, behind a redirect. */
  isFile?: boolean;
  /** Milliseconds until the answer begins. */
  timeout?: number;
}

export interface Settings {
  url: string;
  key: string;
  retries: Retries;
  timeout: number;
  sleep: (seconds: number, signal?: AbortSignal) => Promise<void>;
}

const SAFE_TO_REPEAT = new Set(["GET", "PUT", "DELETE"]);
// Answers after which nobody knows whether the request had an effect.
const UNKNOWN = new Set([408, 500, 502, 503, 504]);
// While the same request, under the same key, still runs.
const RUNNING = "request_in_progress";
// To an answer that tells that nothing changed.
const NOT_MODIFIED = 304;

/** The base of the generated operations. */
export class Calls {
  constructor(protected readonly settings: Settings) {}

  protected async json<Answer>(call: Call): Promise<Answer> {
    const response = await this.call(call);
    return (response.status === 204 ? undefined : await response.json()) as Answer;
  }

  protected async text(call: Call): Promise<string> {
    return (await this.call(call)).text();
  }

  protected joined(values: readonly string[] | undefined): string | undefined {
    return values?.join(",");
  }

  /** The answer. Throws APIError for 4xx and 5xx, NoAnswer where there is none. */
  protected async call(call: Call): Promise<Response> {
    const headers = new Headers(call.headers);
    headers.set("Authorization", `Bearer ${this.settings.key}`);
    // A page has one already; another would have to be allowed by a preflight.
    if (typeof process !== "undefined") headers.set("User-Agent", `clipforge-sdk-typescript/${VERSION}`);
    if (call.idempotent) headers.set("Idempotency-Key", call.idempotencyKey ?? crypto.randomUUID());
    if (call.content) headers.set("Content-Type", call.contentType ?? call.content.type);
    else if (call.body !== undefined && !call.file) headers.set("Content-Type", "application/json");
    const body = call.file ? form(call.file, call.body) : (call.content ?? JSON.stringify(call.body));
    const url = this.url(call);
    const isSafe = call.idempotent === true || SAFE_TO_REPEAT.has(call.method);
    const send = () =>
      // A key does not follow a redirect to another origin: so fetch has it.
      this.sent(url, { method: call.method, headers, body, redirect: call.isFile ? "follow" : "manual" }, call);
    return this.repeated(send, isSafe, call.signal);
  }

  private url(call: Call): URL {
    const path = call.address.replace(/\{(\w+)\}/g, (_, name: string) => {
      const value = call.path?.[name];
      if (value === undefined) throw new ClipForgeError(`${call.address}: no ${name}`);
      return encodeURIComponent(value);
    });
    const url = new URL(this.settings.url.replace(/\/+$/, "") + path);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      for (const each of Array.isArray(value) ? value : [value]) {
        if (each !== undefined && each !== null) url.searchParams.append(name, String(each));
      }
    }
    return url;
  }

  private async sent(url: URL, init: RequestInit, call: Call): Promise<Response> {
    // Only until the answer begins: a large file may take longer.
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), call.timeout ?? this.settings.timeout);
    const signals = call.signal ? [late.signal, call.signal] : [late.signal];
    try {
      return await fetch(url, { ...init, signal: AbortSignal.any(signals) });
    } catch (error) {
      call.signal?.throwIfAborted();
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      throw new NoAnswer(late.signal.aborted ? "The service did not answer in time." : String(cause));
    } finally {
      clearTimeout(timer);
    }
  }

  /** The first answer that is no error. */
  private async repeated(
    send: () => Promise<Response>,
    isSafe: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const { attempts, longestPause } = this.settings.retries;
    for (let attempt = 1; ; attempt++) {
      let error: APIError | NoAnswer;
      try {
        const response = await send();
        if (response.ok || response.status === NOT_MODIFIED) return response;
        if (response.status < 400) {
          throw new ClipForgeError(
            `The service is at another address: ${response.headers.get("Location")}`,
          );
        }
        error = await APIError.of(response);
      } catch (thrown) {
        if (!(thrown instanceof NoAnswer)) throw thrown;
        error = thrown;
      }
      const wait = error instanceof APIError ? error.retryAfter : null;
      const pause = wait ?? Math.min(8, 0.5 * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
      const isLast = attempt >= attempts;
      if (isLast || !isWorthRepeating(error, isSafe) || pause > longestPause) throw error;
      await this.settings.sleep(pause, signal);
    }
  }
}

function isWorthRepeating(error: APIError | NoAnswer, isSafe: boolean): boolean {
  if (error instanceof NoAnswer) return isSafe;
  // It was refused before it had any effect. Without a time, it alone is over the limit.
  if (error.status === 429) return error.retryAfter !== null;
  return isSafe && (UNKNOWN.has(error.status) || error.code === RUNNING);
}

function form(file: Upload, fields: unknown): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields ?? {})) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each === undefined || each === null) continue;
      data.append(name, typeof each === "object" ? JSON.stringify(each) : String(each));
    }
  }
  data.append("file", file.blob, file.name);
  return data;
}
