/** Files of the disk, for Node. */

import { createWriteStream, openAsBlob } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { basename } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import type { Upload } from "./calls.js";

/** A file to upload, which is read from the disk as it is sent. */
export async function openFile(path: string): Promise<Upload> {
  return { blob: await openAsBlob(path), name: basename(path) };
}

/** Write a file that is coming; it appears whole, or not at all. */
export async function saveFile(response: Response, path: string): Promise<void> {
  const part = `${path}.${crypto.randomUUID().slice(0, 8)}.part`;
  try {
    const body = response.body ?? new Blob([]).stream();
    await pipeline(Readable.fromWeb(body as never), createWriteStream(part));
    await rename(part, path);
  } finally {
    await rm(part, { force: true });
  }
}
