# What tests of an example share: to be sourced. Starts the server as a newcomer would, and counts what fails.

readonly kDir=${TEST_TMPDIR:-$(mktemp -d)}
failures=0
server=

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

# start <server> <arguments...>: sets $server, and $url from its line.
start() {
    : >"$kDir/out"  # not what an earlier server said there
    "$@" >"$kDir/out" 2>"$kDir/log" &
    server=$!
    local line=
    for ((i = 0; i < 500; ++i)); do
        line=$(head -n 1 "$kDir/out")
        [[ -z $line ]] || break
        kill -0 "$server" 2>/dev/null || break
        read -r -t 0.02 <> <(:) || true
    done
    [[ $line == "listening on http://"* ]] || {
        echo "the server did not say where it listens: «$line»"
        cat "$kDir/log"
        exit 1
    }
    url=${line#listening on }
}
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
