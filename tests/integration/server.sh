# What tests of an example share: to be sourced. Starts the server as a newcomer would, and counts what fails.
# Where the test's last argument is "tls", it has tls.sh sourced: the same over TLS.

readonly kDir=${TEST_TMPDIR:-$(mktemp -d)}
failures=0
server=
tls=()  # flags of the server

# missing <what>: skips the test; where CI is "true", fails it.
missing() {
    echo "SKIPPED: $1; tools/install-dev-deps installs it"
    [[ ${CI:-} != true ]] || { echo "FAILED: where CI is true nothing may be skipped"; exit 1; }
    exit 0
}

# need <commands...>
need() {
    local command
    for command in "$@"; do
        command -v "$command" >/dev/null || missing "$command"
    done
}

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect <what> <wanted> <got>
expect() {
    if [[ $3 == "$2" ]]; then
        echo "ok: $1"
    else
        fail "$1: wanted «$2», got «$3»"
    fi
}

# expect_match <what> <regular expression> <got>
expect_match() {
    if [[ $3 =~ $2 ]]; then
        echo "ok: $1"
    else
        fail "$1: wanted a match of «$2», got «$3»"
    fi
}

pause() { read -r -t 0.02 <> <(:) || true; }

# wait_for <what> <command...>: until it succeeds, for twenty seconds.
wait_for() {
    local what=$1 i
    shift
    for ((i = 0; i < 1000; ++i)); do
        if "$@"; then
            echo "ok: $what"
            return
        fi
        pause
    done
    fail "$what: not within twenty seconds"
}

# start <server> <arguments...>: sets $server, and from its line $url and $authority.
start() {
    : >"$kDir/out"  # not what an earlier server said there
    "$@" "${tls[@]}" >"$kDir/out" 2>"$kDir/log" &
    server=$!
    local line= i
    for ((i = 0; i < 500; ++i)); do
        line=$(head -n 1 "$kDir/out")
        [[ -z $line ]] || break
        kill -0 "$server" 2>/dev/null || break
        pause
    done
    local scheme=http
    ((${#tls[@]} == 0)) || scheme=https
    [[ $line == "listening on $scheme://"* ]] || {
        echo "the server did not say where it listens: «$line»"
        cat "$kDir/log"
        exit 1
    }
    url=${line#listening on }
    authority=${url#*://}
}

# exchange: sends the input to the server, and prints what comes back until the server closes.
exchange() {
    exec 3<>"/dev/tcp/${authority%:*}/${authority##*:}"
    cat >&3
    cat <&3
    exec 3>&-
}

# start_unread: descriptor 3 leads to the server, and nobody reads what comes back, until end_unread.
start_unread() { exec 3<>"/dev/tcp/${authority%:*}/${authority##*:}"; }
end_unread() { exec 3>&-; }
trap '[[ -z $server ]] || kill -KILL "$server" 2>/dev/null || true' EXIT

# expect_exit <what>: the server, which was told to end, has exited with 0.
expect_exit() {
    local code=0
    wait "$server" || code=$?
    server=
    expect "$1" "0" "$code"
    [[ $code == 0 ]] || cat "$kDir/log"
}

finish() {
    ((failures == 0)) || { echo "$failures failed"; exit 1; }
    echo "all passed"
}

[[ ${!#} != tls ]] || source tests/integration/tls.sh
