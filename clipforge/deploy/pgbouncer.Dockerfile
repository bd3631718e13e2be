# syntax=docker/dockerfile:1
FROM debian:12.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends pgbouncer && rm -rf /var/lib/apt/lists/*
COPY clipforge/deploy/pgbouncer.sh /pgbouncer.sh
USER postgres
EXPOSE 6432
CMD ["bash", "/pgbouncer.sh"]
