/** Files in parts: what has arrived stays, whatever interrupts the rest. */

import type { CallOptions, Upload } from "./calls.js";
import { APIError, NoAnswer } from "./errors.js";
import type * as models from "./generated/models.js";
import { Operations } from "./generated/operations.js";

export interface SendOptions extends CallOptions {
  /** The id of an upload to go on with. */
  upload?: string;
  /** Of the file: another file is refused in the end. */
  sha256?: string;
  /** Is told of the bytes that have arrived, and of how many. */
  told?: (done: number, total: number) => void;
}

// Of a part that the service takes, so much is sent at a time: it is lost with a connection.
const PIECE = 8 * 1024 * 1024;
// Addresses of parts are used so soon after they were given that none ends before.
const AT_ONCE = 10;
const PART_TIMEOUT = 600_000;
// The place of a part, or the row, belongs to another request for now, or is another one than we thought.
const PASSING = new Set(["wrong_offset", "upload_locked", "upload_interrupted"]);

type Failure = APIError | NoAnswer;

/** The operations, and files in parts. */
export class Sending extends Operations {
  /**
   * Send a file in parts, to the service or to its bucket, as the service says: the whole upload. It goes on
   * after every break that is shorter than the attempts of `Retries`; after a longer one, give `upload`.
   */
  async send(video: Upload, options: SendOptions = {}): Promise<models.Upload> {
    const { upload, sha256, signal } = options;
    const wanted = { name: video.name, size: video.blob.size, ...(sha256 === undefined ? {} : { sha256 }) };
    const sent = await (upload === undefined
      ? this.createUpload(wanted, { signal })
      : this.getUpload(upload, { signal }));
    if (sent.size !== video.blob.size) {
      throw new RangeError(`The upload has ${sent.size} bytes, and the file ${video.blob.size}.`);
    }
    return sent.protocol === "s3" ? this.sendToBucket(sent, video.blob, options) : this.sendHere(sent, video.blob, options);
  }

  private async sendHere(upload: models.Upload, file: Blob, { told, signal }: SendOptions): Promise<models.Upload> {
    const { id, size } = upload;
    let failures = 0;
    let now = upload;
    while (now.offset < size) {
      const { offset } = now;
      told?.(offset, size);
      try {
        await this.call({
          method: "PATCH",
          address: "/api/v1/uploads/{id}",
          path: { id },
          content: file.slice(offset, offset + Math.min(PIECE, now.part_bytes)),
          contentType: "application/offset+octet-stream",
          headers: { "Tus-Resumable": "1.0.0", "Upload-Offset": String(offset) },
          timeout: PART_TIMEOUT,
          signal,
        });
      } catch (error) {
        await this.pauseAfter(error, ++failures, signal);
      }
      now = await this.onceItAnswers(() => this.getUpload(id, { signal }), signal);
      if (now.offset > offset) failures = 0;
    }
    told?.(size, size);
    return now;
  }

  private async sendToBucket(upload: models.Upload, file: Blob, { told, signal }: SendOptions): Promise<models.Upload> {
    const { id, size } = upload;
    let failures = 0;
    let known = -1;
    for (;;) {
      const { received, missing } = await this.onceItAnswers(() => this.listUploadParts(id, { signal }), signal);
      told?.(Math.min(received.length * upload.part_bytes, size), size);
      if (missing.length === 0) return this.onceItAnswers(() => this.completeUpload(id, { signal }), signal);
      if (received.length > known) failures = 0;
      known = received.length;
      try {
        for (const part of missing.slice(0, AT_ONCE)) {
          await this.put(part.url, file.slice(part.offset, part.offset + part.size), signal);
        }
      } catch (error) {
        await this.pauseAfter(error, ++failures, signal);
      }
    }
  }

  /** To the bucket, which must not see the key. */
  private async put(url: string, part: Blob, signal: AbortSignal | undefined): Promise<void> {
    const signals = signal ? [signal, AbortSignal.timeout(PART_TIMEOUT)] : [AbortSignal.timeout(PART_TIMEOUT)];
    let answer: Response;
    try {
      answer = await fetch(url, { method: "PUT", body: part, signal: AbortSignal.any(signals) });
    } catch (error) {
      signal?.throwIfAborted();
      throw new NoAnswer(`The connection broke: ${String(error)}`);
    }
    if (!answer.ok) throw await APIError.of(answer);
  }

  /** The answer to a call whose repetition changes nothing. */
  private async onceItAnswers<Answer>(call: () => Promise<Answer>, signal: AbortSignal | undefined): Promise<Answer> {
    for (let failures = 0; ; ) {
      try {
        return await call();
      } catch (error) {
        await this.pauseAfter(error, ++failures, signal);
      }
    }
  }

  /** Throws the error where another attempt would fail as well, or would be one too many. */
  private async pauseAfter(error: unknown, failures: number, signal: AbortSignal | undefined): Promise<void> {
    if (!(error instanceof APIError || error instanceof NoAnswer) || !passes(error)) throw error;
    const { attempts, longestPause } = this.settings.retries;
    const said = error instanceof APIError ? error.retryAfter : null;
    const pause = said ?? Math.min(8, 0.5 * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
    if (failures >= attempts || pause > longestPause) throw error;
    await this.settings.sleep(pause, signal);
  }
}

function passes(error: Failure): boolean {
  if (error instanceof NoAnswer || PASSING.has(error.code)) return true;
  // Of a bucket: an address that has ended is asked for again.
  return (error.code === "unknown" && error.status !== 404) || error.status >= 500;
}
