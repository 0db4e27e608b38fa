#!/usr/bin/env bash
# Compiles small programs that are wrong, and looks at the first error; and one that is right, so that it is not wrong for
# another reason. One of a wrong handler was 20 to 133 lines of std::function, one without -std=c++20 began with
# "missing terminating ' character".
set -uo pipefail

readonly kCompiler=${CXX:-g++}
failures=0

fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

# Of the program on standard input; its arguments are the compiler's.
errors() {
    LC_ALL=C "$kCompiler" -fsyntax-only -I. "$@" -x c++ - 2>&1 | grep -E 'error:'
}

# every_error NAME TEXT COUNT FLAGS...: the program on standard input has COUNT errors, and each has TEXT.
every_error() {
    local name=$1 text=$2 count=$3 all
    shift 3
    all=$(errors "$@")
    echo "$name:"$'\n'"$all"
    [[ $(grep -c . <<<"$all") == "$count" ]] || fail "$name: not $count errors"
    ! grep -v -F -- "$text" <<<"$all" || fail "$name: the above is not: $text"
}

# --- Without C++20 ---

for header in http/server.h http/response.h tnet/connection.h tnet/io_loop.h tnet/ssl/ssl_context.h websocket/server.h; do
    for standard in c++11 c++17; do
        # What follows the first error is of no interest.
        every_error "$header with $standard" "tnet needs C++20: compile with -std=c++20" 1 "-std=$standard" \
            -fmax-errors=1 <<<"#include \"$header\""
    done
done

# All others: a header of ours that includes no other one says it itself, before anything that is C++20.
for header in tnet/*.h tnet/ssl/*.h http/*.h websocket/*.h; do
    [[ $header != tnet/cpp20.h ]] || continue
    first=$(grep -m1 -E '^#include "' "$header") || fail "$header does not include tnet/cpp20.h"
    ! grep -q 'tnet/cpp20.h' "$header" || [[ $first == *tnet/cpp20.h* ]] || fail "$header includes tnet/cpp20.h too late"
done

# --- Handlers ---

readonly kHandler="a handler is HttpResponse(const HttpRequest&), or void(const HttpRequest&, HttpResponder)"

with_router() {
    printf '#include <memory>\n#include "http/router.h"\nusing namespace tnet;\nvoid add(HttpRouter router) {\n%s\n}\n' "$1"
}

# One error for each, and none of std::function.
every_error "wrong handlers" "$kHandler" 8 -std=c++20 < <(with_router '
    router.get("/", [](HttpRequest&) { return HttpResponse(200); });
    router.post("/", [](const HttpRequest&) {});
    router.put("/", [](const HttpRequest&) { return "text"; });
    router.patch("/", [](const HttpRequest&, HttpResponder&) {});
    router.del("/", [](HttpResponder, const HttpRequest&) {});
    router.any("/", [] {});
    router.get("/", 5);
    router.route(HttpMethod::Get, "/", [](int) { return HttpResponse(200); });')

every_error "a handler that can only be moved" "a handler has to be copyable" 1 -std=c++20 < <(
    with_router 'router.get("/", [p = std::make_unique<int>(1)](const HttpRequest&) { return HttpResponse(*p); });')

# --- What is right ---

readonly kRight='
    router.get("/:id", [](const HttpRequest& request) { return HttpResponse::text(request.param("id")); });
    router.post("/", [](const HttpRequest& request) {
        return HttpResponse().setBody(request.body()).addHeader("Set-Cookie", "a=1").addHeader("Set-Cookie", "b=2");
    });
    router.any("/any", [](const HttpRequest&, HttpResponder responder) { responder.respond(HttpResponse::html("<p>")); });
    router.route(HttpMethod::Put, "/", HttpHandler_t([](const HttpRequest&) { return HttpResponse::json("{}", 201); }));
    router.get("/stream", [](const HttpRequest& request, HttpResponder responder) {
        HttpBodyWriter writer = responder.stream(HttpResponse(200));
        writer.write(request.path());
        writer.write("text");
    });'
right=$(errors -std=c++20 < <(with_router "$kRight"))
[[ -z $right ]] || fail "what is right does not compile:"$'\n'"$right"

((failures == 0)) || exit 1
