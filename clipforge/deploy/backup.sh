#!/usr/bin/env bash
# A dump of the database each night, written aside and named once it is whole; the newest fourteen stay.
# `manage.py restore` takes them.
set -euo pipefail
umask 077
folder=${BACKUPS:-/backups}

dump() {
    local at
    at=$(psql -Atqc "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')")
    name=$folder/clipforge-$(tr -d ':-' <<<"$at")Z
    # A dump that fails goes, so that no try fills the disk for the next; of one that was killed, a day later.
    trap 'rm -f "$name.part" "$name.json"' EXIT
    find "$folder" -name 'clipforge-*.part' -mmin +1440 -delete
    pg_dump --format=custom --no-owner --no-privileges --file="$name.part"
    printf '{"at": "%s+00:00", "sha256": "%s"}\n' "$at" "$(sha256sum "$name.part" | cut -d ' ' -f 1)" >"$name.json"
    sync "$name.part"
    mv "$name.part" "$name.dump"
    trap - EXIT
    find "$folder" -name 'clipforge-*.dump' | sort | head -n -14 | while read -r old; do
        rm -f "$old" "${old%.dump}.json"
    done
    echo "backed up: $name.dump"
}

if [ "${1:-}" = --once ]; then
    dump
    exit
fi
rm -f "$folder"/clipforge-*.part
while true; do
    # A process of its own: in a condition, a function goes on after what fails in it.
    if bash "$0" --once; then
        sleep $(($(date -d 'tomorrow 03:00' +%s) - $(date +%s)))
    else
        echo "the backup failed; it is tried again in an hour" >&2
        sleep 3600
    fi
done
