/** The SDK against a server in trouble: what is sent again, after which pause, and which error comes. */

import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { Webhook } from "standardwebhooks";

import * as sdk from "../src/index.js";
import { openFile, saveFile } from "../src/node.js";

interface Answer {
  status: number;
  headers?: Record<string, string>;
  body?: unknown;
}
interface Asked {
  method: string;
  url: string;
  headers: IncomingMessage["headers"];
  body: Buffer;
}

const BREAK = null;
const PROJECT = { id: "p-1", status: "READY", progress: 1, error: null };

class Scripted {
  answers: (Answer | null)[] = [];
  readonly requests: Asked[] = [];
  private readonly server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url = "", headers } = request;
    this.requests.push({ method, url, headers, body: Buffer.concat(chunks) });
    const answer = this.answers.length > 1 ? this.answers.shift() : this.answers[0];
    if (!answer) return void request.socket.destroy();
    const body = answer.body instanceof Buffer ? answer.body : JSON.stringify(answer.body ?? {});
    response.writeHead(answer.status, { ...answer.headers, Connection: "close" });
    response.end(answer.status === 304 ? undefined : body);
  });

  async start(): Promise<string> {
    await new Promise<void>((done) => this.server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    await new Promise((done) => this.server.close(done));
  }
}

let server: Scripted;
let client: sdk.Client;
let slept: number[];
let url: string;

beforeEach(async () => {
  server = new Scripted();
  slept = [];
  url = await server.start();
  client = new sdk.Client({ key: "cf_live_key", url, sleep: async (pause) => void slept.push(pause) });
});
afterEach(() => server.stop());

function problem(status: number, code: string, headers: Record<string, string> = {}): Answer {
  const body = { code, detail: `It was ${code}.` };
  return { status, headers: { "X-Request-ID": "r-1", ...headers }, body };
}

test("a limited call waits as long as the service says", async () => {
  server.answers = [problem(429, "rate_limited", { "Retry-After": "7" }), { status: 200, body: { available: 3 } }];
  assert.equal((await client.getBalance()).available, 3);
  assert.deepEqual(slept, [7]);
});

test("a call that is over the limit alone is not repeated", async () => {
  server.answers = [problem(429, "rate_limited")];
  await assert.rejects(client.getBalance(), sdk.RateLimited);
  assert.deepEqual(slept, []);
});

for (const [seconds, attempts] of [["60", 5], ["61", 1]] as const) {
  test(`a pause of ${seconds} seconds: ${attempts} attempts`, async () => {
    server.answers = [problem(503, "unavailable", { "Retry-After": seconds })];
    await assert.rejects(client.getBalance(), sdk.ServiceError);
    assert.equal(server.requests.length, attempts);
  });
}

for (const trouble of [BREAK, problem(502, "bad_gateway")]) {
  test(`what costs is sent again under the same key after ${trouble?.status ?? "a break"}`, async () => {
    server.answers = [trouble, trouble, { status: 201, body: PROJECT }];
    assert.equal((await client.createExport({ moment: "m-1" })).id, "p-1");
    assert.equal(server.requests.length, 3);
    assert.equal(new Set(server.requests.map((each) => each.headers["idempotency-key"])).size, 1);
    assert.ok(slept[0]! >= 0.25 && slept[0]! <= 0.5 && slept[1]! >= 0.5 && slept[1]! <= 1);
  });

  test(`what has no key is not repeated after ${trouble?.status ?? "a break"}`, async () => {
    server.answers = [trouble, { status: 200, body: PROJECT }];
    await assert.rejects(client.updateProject("p-1", { title: "Other" }), sdk.ClipForgeError);
    assert.equal(server.requests.length, 1);
  });
}

test("two calls have two keys, and a key may be given", async () => {
  server.answers = [{ status: 201, body: PROJECT }];
  for (const options of [{}, {}, { idempotencyKey: "mine" }]) {
    await client.createExport({ moment: "m-1" }, options);
  }
  const [first, second, third] = server.requests.map((each) => each.headers["idempotency-key"]);
  assert.notEqual(first, second);
  assert.equal(third, "mine");
});

test("attempts end", async () => {
  server.answers = [BREAK];
  await assert.rejects(client.getBalance(), sdk.NoAnswer);
  assert.equal(server.requests.length, 5);
});

const KINDS = [
  [401, sdk.AuthenticationError],
  [402, sdk.NotEnoughCredits],
  [403, sdk.PermissionDenied],
  [404, sdk.NotFound],
  [409, sdk.Conflict],
  [413, sdk.TooLarge],
  [415, sdk.UnsupportedMedia],
  [422, sdk.InvalidRequest],
  [500, sdk.ServiceError],
  [400, sdk.APIError],
] as const;
for (const [status, kind] of KINDS) {
  test(`${status} is ${kind.name} with its code and the request id`, async () => {
    server.answers = [problem(status, "some_code")];
    const error = await client.createToken({ scope: "read", minutes: 5 }).catch((thrown) => thrown);
    assert.equal(error.constructor, kind);
    assert.equal(error.name, kind.name);
    assert.deepEqual([error.status, error.code, error.requestId], [status, "some_code", "r-1"]);
    assert.equal(error.detail, "It was some_code.");
  });
}

test("pages are asked for one by one as their rows are read", async () => {
  server.answers = [
    { status: 200, body: { results: [{ id: "1" }, { id: "2" }], next_cursor: "c/2" } },
    { status: 200, body: { results: [{ id: "3" }], next_cursor: null } },
  ];
  const ids: string[] = [];
  for await (const row of client.listProjects({ status: ["READY", "EMPTY"], ids: ["a", "b"] })) {
    ids.push(row.id);
    assert.equal(server.requests.length, row.id === "3" ? 2 : 1);
  }
  assert.deepEqual(ids, ["1", "2", "3"]);
  const [first, second] = server.requests.map((each) => each.url);
  assert.equal(first, "/api/v1/projects?status=READY&status=EMPTY&ids=a%2Cb");
  assert.equal(second, `${first}&cursor=c%2F2`);
});

test("an upload that broke is sent again whole, with its length", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sdk-"));
  await writeFile(join(folder, "talk.mp4"), "video".repeat(50_000));
  server.answers = [BREAK, { status: 201, body: PROJECT }];
  await client.upload(await openFile(join(folder, "talk.mp4")), {
    keywords: ["a", "b"],
    metadata: { k: "v" },
  });
  assert.equal(server.requests.length, 2);
  for (const { body, headers } of server.requests) {
    assert.equal(body.toString().split("video").length - 1, 50_000);
    assert.equal(headers["content-length"], String(body.length));
    assert.equal(body.toString().split('name="keywords"').length - 1, 2);
    assert.match(body.toString(), /name="metadata"\r\n\r\n\{"k":"v"\}/);
    assert.match(body.toString(), /name="file"; filename="talk.mp4"/);
  }
});

test("a body that is an image is sent as it is, and again whole", async () => {
  server.answers = [BREAK, { status: 200, body: { id: "w-1" } }];
  await client.replaceWatermark(new Blob(["image"]), "image/png");
  assert.deepEqual(
    server.requests.map(({ method, url, body, headers }) => [method, url, body.toString(), headers["content-type"]]),
    Array(2).fill(["PUT", "/api/v1/watermark", "image", "image/png"]),
  );
});

test("waiting asks with the ETag and pauses as long as the service says", async () => {
  server.answers = [
    { status: 200, headers: { ETag: '"1"', "Retry-After": "3" }, body: { ...PROJECT, status: "ANALYZING" } },
    { status: 304, headers: { ETag: '"1"', "Retry-After": "4" } },
    { status: 200, body: PROJECT },
  ];
  const seen: string[] = [];
  await client.waitForProject("p-1", { seen: (job) => seen.push(job.status) });
  assert.deepEqual(slept, [3, 4]);
  assert.deepEqual(seen, ["ANALYZING", "READY"]);
  assert.deepEqual(server.requests.map((each) => each.headers["if-none-match"]), [undefined, '"1"', '"1"']);
});

test("a job that failed is an error with its code", async () => {
  const error = { code: "damaged", message: "It is broken." };
  server.answers = [{ status: 200, body: { ...PROJECT, status: "FAILED", error } }];
  await assert.rejects(client.waitForExport("e-1"), { name: "JobFailed", code: "damaged" });
});

test("waiting ends in time", async () => {
  server.answers = [{ status: 200, body: { ...PROJECT, status: "QUEUED" } }];
  await assert.rejects(client.waitForExport("e-1", { seconds: 0 }), sdk.StillRunning);
});

test("a call ends when its signal does, and so does a pause", async () => {
  const ended = AbortSignal.abort(new Error("enough"));
  await assert.rejects(client.getBalance({ signal: ended }), /enough/);
  const control = new AbortController();
  const patient = new sdk.Client({ key: "cf_live_key", url });
  server.answers = [problem(429, "rate_limited", { "Retry-After": "50" })];
  const waiting = patient.getBalance({ signal: control.signal });
  while (server.requests.length === 0) await new Promise(setImmediate);
  control.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
});

test("the key stays with the service when a download is elsewhere; the file appears whole", async () => {
  const elsewhere = new Scripted();
  const there = await elsewhere.start();
  server.answers = [{ status: 302, headers: { Location: `${there}/file?signed=1` } }];
  elsewhere.answers = [{ status: 200, body: Buffer.from("clip") }];
  const folder = await mkdtemp(join(tmpdir(), "sdk-"));
  await saveFile(await client.download("e-1"), join(folder, "clip.mp4"));
  await elsewhere.stop();
  assert.equal(await readFile(join(folder, "clip.mp4"), "utf8"), "clip");
  assert.deepEqual(await readdir(folder), ["clip.mp4"]);
  assert.equal(elsewhere.requests[0]!.headers.authorization, undefined);
  assert.equal(server.requests[0]!.headers.authorization, "Bearer cf_live_key");
});

test("ids are quoted, and a service that moved is an error that says where to", async () => {
  server.answers = [problem(404, "not_found"), { status: 301, headers: { Location: "https://other.example/" } }];
  await assert.rejects(client.getProject("../me?x"), sdk.NotFound);
  assert.equal(server.requests[0]!.url, "/api/v1/projects/..%2Fme%3Fx");
  await assert.rejects(client.getBalance(), /at another address: https:\/\/other\.example/);
});

test("a client without key or address says what to set", () => {
  assert.throws(() => new sdk.Client({ url }), /CLIPFORGE_API_KEY/);
  assert.throws(() => new sdk.Client({ key: "cf_live_key" }), /CLIPFORGE_URL/);
});

test("a key has no line break from its file; what cannot be one is refused and not told to logs", async () => {
  server.answers = [{ status: 200, body: { available: 3 } }];
  await new sdk.Client({ key: "cf_live_key\r\n", url }).getBalance();
  assert.equal(server.requests[0]!.headers.authorization, "Bearer cf_live_key");
  for (const key of ["cf_live_\nkey", "cf_live_ key", "cf_live_clé", "cf_live_\0key"]) {
    assert.throws(
      () => new sdk.Client({ key, url }),
      (error: Error) => error instanceof sdk.ClipForgeError && !error.message.includes("cf_live"),
    );
  }
});

for (const [header, pause] of [
  [new Date(Date.now() + 3600_000).toUTCString(), "as said"],
  ["Thu, 01 Jan 1970 00:00:00 GMT", 0.5],
  ["0", 0.5],
  ["soon", 2],
  ["NaN", 2],
] as const) {
  test(`waiting never turns into a loop without a pause: Retry-After ${header.slice(0, 16)}`, async () => {
    const headers = { ETag: '"1"', "Retry-After": header };
    server.answers = [
      { status: 200, headers, body: { ...PROJECT, status: "ANALYZING" } },
      { status: 304, headers },
      { status: 200, body: PROJECT },
    ];
    await client.waitForProject("p-1");
    if (pause === "as said") assert.ok(slept.every((each) => each > 3000 && each <= 3600));
    else assert.deepEqual(slept, [pause, pause]);
  });
}

test("an event that was signed with the secret is believed, and nothing else", () => {
  const secret = `whsec_${Buffer.from("a".repeat(24)).toString("base64")}`;
  const body = JSON.stringify({ id: "e-1", type: "project.ready", data: { title: "Grüße" } });
  const headers = (at: Date, text = body) => ({
    "Webhook-Id": "e-1",
    "Webhook-Timestamp": String(Math.floor(at.getTime() / 1000)),
    "Webhook-Signature": new Webhook(secret).sign("e-1", at, text),
  });
  const now = new Date();
  const event = sdk.verifyWebhook(Buffer.from(body), headers(now), secret);
  assert.equal(event.type, "project.ready");
  const old = new Date(now.getTime() - 301_000);
  const other = `whsec_${Buffer.from("b".repeat(24)).toString("base64")}`;
  for (const [sent, told, known] of [
    [`${body} `, headers(now), secret],
    [Buffer.from([255]), headers(now), secret],
    [body, headers(old), secret],
    [body, headers(now), other],
    [body, { ...headers(now), "Webhook-Signature": "v1" }, secret],
    [body, {}, secret],
  ] as const) {
    assert.throws(() => sdk.verifyWebhook(sent, told, known), sdk.InvalidSignature);
  }
});
