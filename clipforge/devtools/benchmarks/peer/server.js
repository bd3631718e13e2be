// NestJS on Express with ioredis: the same script, the same headers and the same log line as ours.
// Decorators are applied by hand, so that there is nothing to compile.
"use strict";
require("reflect-metadata");
const crypto = require("node:crypto");
const fs = require("node:fs");
const { Controller, Get, Module, Req, Res } = require("@nestjs/common");
const { NestFactory } = require("@nestjs/core");
const Redis = require("ioredis");

const { PORT, REDIS_PATH, API_KEY_PEPPER, ADMIT_LUA } = process.env;
const redis = new Redis(REDIS_PATH);
redis.defineCommand("admit", { numberOfKeys: 1, lua: fs.readFileSync(ADMIT_LUA, "utf8") });

const CONSTANT = {
  Allow: "GET, HEAD, OPTIONS",
  "X-Frame-Options": "DENY",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
};

class BalanceController {
  async balance(request, response) {
    const started = process.hrtime.bigint();
    const id = request.get("x-request-id") || crypto.randomUUID();
    const key = (request.get("authorization") || "").split(" ")[1] || "";
    const name = key.split("_")[2];
    const digest = crypto.createHmac("sha256", API_KEY_PEPPER).update(key).digest("hex");
    const found = await redis.admit(`orgs:key:${name}`, digest, "credits:balance", 0, "", "api", "requests_per_minute", 1);
    if (found[0] !== "admitted" || !found[4]) {
      response.status(401).json({ code: found[0] });
      return;
    }
    const row = JSON.parse(found[1]);
    JSON.parse(found[2]);
    JSON.parse(found[3]);
    const [, limit, remaining, , reset] = found[6];
    const [available, held, posted, debt] = JSON.parse(found[4]);
    response.set(CONSTANT);
    response.set("RateLimit-Policy", `"api";q=${limit};w=60`);
    response.set("RateLimit", `"api";r=${remaining};t=${Math.ceil(reset / 1000)}`);
    response.set("X-Request-ID", id);
    response.json({ available, held, posted, debt });
    const ms = Number(process.hrtime.bigint() - started) / 1e6;
    process.stderr.write(
      JSON.stringify({
        ts: new Date().toISOString(), level: "INFO", pid: process.pid, logger: "access", message: "GET 200",
        request_id: id, org: row.organization_id, key_id: row.prefix, route: "credits-balance", status: 200,
        ms: Math.round(ms * 10) / 10,
      }) + "\n",
    );
  }
}
const handler = Object.getOwnPropertyDescriptor(BalanceController.prototype, "balance");
Req()(BalanceController.prototype, "balance", 0);
Res()(BalanceController.prototype, "balance", 1);
Get("balance")(BalanceController.prototype, "balance", handler);
Controller("api/v1/credits")(BalanceController);

class AppModule {}
Module({ controllers: [BalanceController] })(AppModule);

NestFactory.create(AppModule, { logger: false })
  .then((app) => app.listen(Number(PORT), "127.0.0.1"))
  .then(() => process.stderr.write("listening\n"));
