/** The ways in which a call can fail. All of them are a ClipForgeError. */

import type { Problem } from "./generated/models.js";

/** `Retry-After` in seconds from now: a number, or a date, which proxies send. Null for none. */
export function secondsOf(header: string | null): number | null {
  if (!header?.trim()) return null;
  const seconds = Number(header);
  const found = Number.isNaN(seconds) ? (Date.parse(header) - Date.now()) / 1000 : seconds;
  return Number.isFinite(found) ? Math.max(0, found) : null;
}

export class ClipForgeError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** The service was not reached, or the connection broke, as often as it was asked. */
export class NoAnswer extends ClipForgeError {}

/** The request was not sent by ClipForge with this secret, or it is older than five minutes. */
export class InvalidSignature extends ClipForgeError {}

/** A project or an export was not finished in time. It goes on; wait for it again. */
export class StillRunning extends ClipForgeError {}

/** A project or an export ended without a result. Nothing was charged for it. */
export class JobFailed extends ClipForgeError {
  readonly code: string;

  constructor(readonly job: { status: string; error: { code: string; message: string } | null }) {
    super(job.error?.message ?? `It ended as ${job.status}.`);
    this.code = job.error?.code ?? job.status.toLowerCase();
  }
}

/** An answer of 4xx or 5xx. `code` is stable and meant for programs; quote `requestId` to support. */
export class APIError extends ClipForgeError {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly requestId: string | null;
  /** Seconds; null where the answer does not say. */
  readonly retryAfter: number | null;

  constructor(response: Response, readonly problem: Partial<Problem>) {
    const code = problem.code ?? "unknown";
    const detail = problem.detail ?? response.statusText;
    const requestId = response.headers.get("X-Request-ID");
    super(`${detail} (${response.status} ${code}, request ${requestId})`);
    this.status = response.status;
    this.code = code;
    this.detail = detail;
    this.requestId = requestId;
    this.retryAfter = secondsOf(response.headers.get("Retry-After"));
  }

  /** The error of this answer, in the class of its status. */
  static async of(response: Response): Promise<APIError> {
    const found: unknown = await response.json().catch(() => null); // null: of a proxy in between
    const problem = (typeof found === "object" && found !== null ? found : {}) as Partial<Problem>;
    const kind = response.status >= 500 ? ServiceError : (BY_STATUS[response.status] ?? APIError);
    return new kind(response, problem);
  }
}

/** 401: no API key, or one that is unknown, expired or revoked. */
export class AuthenticationError extends APIError {}

/** 402: `problem.needed` and `problem.available` are in credits. */
export class NotEnoughCredits extends APIError {}

/** 403: the organization is suspended, or the key may not do this. */
export class PermissionDenied extends APIError {}

/** 404: not there, or another organization's. */
export class NotFound extends APIError {}

/** 409: the state does not allow it, or the same request is still running. */
export class Conflict extends APIError {}

/** 413: a file or a body is too large. */
export class TooLarge extends APIError {}

/** 415: not a video that is accepted; `code` says why. */
export class UnsupportedMedia extends APIError {}

/** 422: a name or a value is wrong. `problem.errors` points at members of the body. */
export class InvalidRequest extends APIError {}

/** 429: over a limit; `problem.limit` names which. */
export class RateLimited extends APIError {}

/** 5xx: the service, or something that it depends on, is down. */
export class ServiceError extends APIError {}

const BY_STATUS: Record<number, typeof APIError> = {
  401: AuthenticationError,
  402: NotEnoughCredits,
  403: PermissionDenied,
  404: NotFound,
  409: Conflict,
  413: TooLarge,
  415: UnsupportedMedia,
  422: InvalidRequest,
  429: RateLimited,
};
