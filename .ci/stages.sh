# shellcheck shell=bash
# Stages of a run, one after the other or beside each other: what fails ends the run and is named. To be sourced.

stage_now="start"
beside_process=""

# stage NAME COMMAND...: plainly called, for bash ignores failures inside anything that is followed by || or &&.
stage() {
    local started=$SECONDS
    stage_now=$1
    shift
    echo "ci: $stage_now"
    "$@"
    echo "ci: $stage_now took $((SECONDS - started)) s"
}

# beside NAME COMMAND...: a stage that mostly waits, from now on beside those that follow. One at a time.
beside() {
    beside_name=$1
    shift
    beside_started=$SECONDS
    beside_said=$(mktemp)
    echo "ci: $beside_name, beside what follows"
    "$@" >"$beside_said" 2>&1 &
    beside_process=$!
}

# joined: waits for what runs beside, and shows what it said.
joined() {
    local process=$beside_process status=0
    stage_now=$beside_name
    wait "$process" || status=$?
    beside_process=""
    echo "ci: $stage_now said:"
    cat "$beside_said"
    rm -f "$beside_said"
    [ "$status" = 0 ] || exit "$status"
    echo "ci: $stage_now took $((SECONDS - beside_started)) s, beside what came before"
}

# Where a stage fails, what runs beside it is ended by the signal that it cleans up after.
_ended() {
    local status=$?
    [ "$status" = 0 ] || echo "ci: failed: $stage_now" >&2
    if [ -n "$beside_process" ]; then
        kill "$beside_process" 2>/dev/null || true
        wait "$beside_process" || true
        rm -f "$beside_said"
    fi
}
trap _ended EXIT
