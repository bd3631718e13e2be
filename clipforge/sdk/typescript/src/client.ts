/** The client: every operation of the API, and what takes several of them. */

import type { CallOptions, Retries, Settings, Upload, WriteOptions } from "./calls.js";
import { ClipForgeError, JobFailed, secondsOf, StillRunning } from "./errors.js";
import type * as models from "./generated/models.js";
import { type SendOptions, Sending } from "./sending.js";

export interface ClientOptions {
  /** Otherwise CLIPFORGE_API_KEY. In a page, a token: never a key. */
  key?: string;
  /** Otherwise CLIPFORGE_URL. */
  url?: string;
  retries?: Partial<Retries>;
  /** Milliseconds until an answer begins. */
  timeout?: number;
  sleep?: Settings["sleep"];
}

export interface WaitOptions<Job> extends CallOptions {
  /** Wait so long at most. */
  seconds?: number;
  /** Is shown the job after each change. */
  seen?: (job: Job) => void;
}

type Job = models.Project | models.Export;

// What a project or an export does not leave by itself.
const ENDED = new Set(["READY", "EMPTY", "FAILED", "CANCELLED", "EXPIRED"]);
const WITHOUT_RESULT = new Set(["FAILED", "CANCELLED"]);
// Between two polls, where the service does not say. Seconds.
const POLL = 2;
// And where it says "now".
const SHORTEST = 0.5;
// So long the service waits for news before it answers that there is none. Seconds.
const LONG_POLL = 20;
const UPLOAD_TIMEOUT = 600_000;

/** ClipForge, for one organization. Every method rejects with a ClipForgeError. */
export class Client extends Sending {
  constructor(options: ClientOptions = {}) {
    // Without the line break that it has at the end of a file.
    const key = (options.key ?? variable("CLIPFORGE_API_KEY"))?.trim();
    const url = options.url ?? variable("CLIPFORGE_URL");
    if (!key) throw new ClipForgeError("No API key: give one, or set CLIPFORGE_API_KEY.");
    // What would be said of it as a header quotes it, and lands in logs.
    if (!/^[!-~]+$/.test(key)) throw new ClipForgeError("This is no API key: it has characters that none has.");
    if (!url) throw new ClipForgeError("No address of the service: give one, or set CLIPFORGE_URL.");
    super({
      url,
      key,
      retries: { attempts: 5, longestPause: 60, ...options.retries },
      timeout: options.timeout ?? 60_000,
      sleep: options.sleep ?? sleep,
    });
  }

  /** Create a project of a video. */
  upload(
    video: Upload,
    fields: models.ProjectUploadRequest = {},
    options: WriteOptions = {},
  ): Promise<models.Project> {
    return this.json({
      method: "POST",
      address: "/api/v1/projects",
      file: video,
      body: fields,
      idempotent: true,
      timeout: UPLOAD_TIMEOUT,
      ...options,
    });
  }

  /** Create a project of a video of any size, over any line: as `send`, and then as `upload`. */
  async uploadInParts(
    video: Upload,
    fields: models.ProjectUploadRequest = {},
    options: SendOptions & WriteOptions = {},
  ): Promise<models.Project> {
    const sent = await this.send(video, options);
    return this.ordered({ ...fields, upload: sent.id }, options);
  }

  /** Create a project of the file at an address, which the service fetches. It has no length yet. */
  importFrom(
    sourceUrl: string,
    fields: models.ProjectUploadRequest = {},
    options: WriteOptions = {},
  ): Promise<models.Project> {
    return this.ordered({ ...fields, source_url: sourceUrl }, options);
  }

  private ordered(
    body: models.ProjectOrderRequest,
    { idempotencyKey, signal }: WriteOptions,
  ): Promise<models.Project> {
    return this.json({
      method: "POST",
      address: "/api/v1/projects",
      body,
      idempotent: true,
      timeout: UPLOAD_TIMEOUT,
      idempotencyKey,
      signal,
    });
  }

  /**
   * The project when its analysis has ended: READY, or EMPTY where nothing is worth clipping.
   * Rejects with JobFailed, and with StillRunning after so many seconds.
   */
  waitForProject(
    project: string | models.Project,
    options: WaitOptions<models.Project> = {},
  ): Promise<models.Project> {
    return this.ended("/api/v1/projects/{id}", project, options);
  }

  /** The export when its file is ready. As `waitForProject`. */
  waitForExport(
    made: string | models.Export,
    options: WaitOptions<models.Export> = {},
  ): Promise<models.Export> {
    return this.ended("/api/v1/exports/{id}", made, options);
  }

  /** The file of a finished export, as it comes. */
  download(made: string | models.Export, options: CallOptions = {}): Promise<Response> {
    return this.downloadExport(typeof made === "string" ? made : made.id, options);
  }

  private async ended<Kind extends Job>(
    address: string,
    job: string | Kind,
    { seconds = 3600, seen, signal }: WaitOptions<Kind>,
  ): Promise<Kind> {
    const id = typeof job === "string" ? job : job.id;
    const deadline = performance.now() + seconds * 1000;
    let etag: string | null = null;
    for (;;) {
      const response: Response = await this.call({
        method: "GET",
        address,
        path: { id },
        // The service answers when there is news.
        query: etag === null ? {} : { wait: LONG_POLL },
        headers: etag === null ? {} : { "If-None-Match": etag },
        signal,
      });
      if (response.status === 200) {
        const now = (await response.json()) as Kind;
        etag = response.headers.get("ETag");
        seen?.(now);
        if (WITHOUT_RESULT.has(now.status)) throw new JobFailed(now);
        if (ENDED.has(now.status)) return now;
      }
      const left = (deadline - performance.now()) / 1000;
      if (left <= 0) throw new StillRunning(`${id} was not finished after ${seconds} seconds.`);
      const said = secondsOf(response.headers.get("Retry-After"));
      const pause = said === null ? POLL : Math.max(said, SHORTEST);
      await this.settings.sleep(Math.min(pause, left), signal);
    }
  }
}

/** In Node; a page has none. */
function variable(name: string): string | undefined {
  return typeof process === "undefined" ? undefined : process.env[name];
}

function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", stop, { once: true });
  });
}
