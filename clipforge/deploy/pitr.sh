#!/usr/bin/env bash
# Recovery of the database to any moment: its log, received as it is written, and bases to begin from.
#
#   pitr.sh receive            receives the log until it is stopped; connects again by itself
#   pitr.sh base               one more base; the newest KEEP_BASES stay, and the log from the oldest of them on
#   pitr.sh restore TIME DATA  makes a cluster in the folder DATA that recovers to TIME when it is started
#                              (`2026-12-01 10:15:00.5 UTC`, or `latest`)
#
# PGHOST, PGUSER and PGPASSWORD are of a role that may replicate; ARCHIVE is where all of it is kept.
set -euo pipefail
umask 077
archive=${ARCHIVE:-/archive}
slot=${SLOT:-clipforge_archive}
mkdir -p "$archive/wal" "$archive/bases"

receive() {
    # The slot keeps on the server what was not received yet, up to its max_slot_wal_keep_size.
    pg_receivewal --directory="$archive/wal" --slot="$slot" --create-slot --if-not-exists
    exec pg_receivewal --directory="$archive/wal" --slot="$slot" --synchronous
}

base() {
    local part name oldest status=0
    [ "${KEEP_BASES:-2}" -ge 1 ] || { echo "KEEP_BASES is ${KEEP_BASES}: keep one at least" >&2; exit 2; }
    part=$archive/bases/new.part
    rm -rf "$part"
    pg_basebackup --pgdata="$part" --checkpoint=fast --wal-method=stream --no-sync
    pg_verifybackup --quiet "$part" || status=$?
    # That of some packages crashes, whatever it is given; pages were proven by their checksums as they were sent.
    [ "$status" = 0 ] || [ "$status" -ge 128 ] || exit 1
    # From its end on, every moment can be reached.
    name=$(psql -Atq -d "${PGDATABASE:-postgres}" \
        -c "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD\"T\"HH24MISS.US\"Z\"')")
    sync -f "$part"
    mv "$part" "$archive/bases/$name"
    find "$archive/bases" -mindepth 1 -maxdepth 1 -name '*Z' | sort | head -n "-${KEEP_BASES:-2}" | while read -r old; do
        rm -rf "$old"
    done
    oldest=$(find "$archive/bases" -mindepth 1 -maxdepth 1 -name '*Z' | sort | head -n 1)
    pg_archivecleanup "$archive/wal" "$(sed -n 's/^START WAL LOCATION.*(file \(.*\))$/\1/p' "$oldest/backup_label")"
    echo "a base: $archive/bases/$name"
}

restore() {
    local wanted=$1 data=$2 limit=99999999 target='' found
    if [ "$wanted" != latest ]; then
        limit=$(date -u -d "$wanted" +%Y%m%dT%H%M%S.%6NZ)
        target=$(date -u -d "$wanted" '+%F %T.%6N+00') # whatever the time zone of the server
    fi
    found=$(find "$archive/bases" -mindepth 1 -maxdepth 1 -name '*Z' -printf '%f\n' | sort |
        awk -v limit="$limit" '$0 <= limit' | tail -n 1)
    [ -n "$found" ] || { echo "There is no base from before $wanted." >&2; exit 1; }
    [ ! -e "$data" ] || { echo "$data is there already: name a folder that is not." >&2; exit 1; }
    cp -a "$archive/bases/$found" "$data"
    # The last part of the log, which was being received, has another name. A base of a database that was
    # itself recovered still names the target of that, which an empty one overrides.
    cat >>"$data/postgresql.auto.conf" <<CONF
restore_command = 'cp "$archive/wal/%f" "%p" || cp "$archive/wal/%f.partial" "%p"'
recovery_target_action = 'promote'
recovery_target_time = '$target'
CONF
    touch "$data/recovery.signal"
    echo "from the base $found: start PostgreSQL on $data"
}

case "${1:-}" in
    receive | base) "$1" ;;
    restore) restore "$2" "$3" ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2 ;;
esac
