#include "tests/http/hostile_requests.h"

#include <cstddef>
#include <utility>

namespace tnet {
namespace {

using Rows = std::vector<HostileRequest>;

constexpr size_t kBodyLimit = 65536;

const std::string kHost = "Host: example.com\r\n";
const std::string kGetRoot = "GET / HTTP/1.1\r\n";
const std::string kPostEcho = "POST /echo HTTP/1.1\r\n";
// What an attacker hides behind a defect; also an honest second request.
const std::string kNext = "GET /hello/next HTTP/1.1\r\nHost: example.com\r\n\r\n";

// A byte that would be unreadable, or run into the hex digits after it, as an escape.
std::string byte(int value) {
    return std::string(1, static_cast<char>(value));
}

std::string repeated(size_t count, const std::string& text) {
    std::string all;
    for (size_t i = 0; i < count; ++i) all += text;
    return all;
}

// A request that is in order but for its first line.
std::string withLine(const std::string& line) {
    return line + "\r\n" + kHost + "\r\n";
}

std::string withTarget(const std::string& target) {
    return withLine("GET " + target + " HTTP/1.1");
}

std::string withVersion(const std::string& version) {
    return withLine("GET / " + version);
}

std::string withConnect(const std::string& target) {
    return withLine("CONNECT " + target + " HTTP/1.1");
}

// A GET that is in order but for `lines`, whole header lines with their line ends.
std::string withHeaders(const std::string& lines) {
    return kGetRoot + kHost + lines + "\r\n";
}

std::string withHost(const std::string& value) {
    return kGetRoot + "Host: " + value + "\r\n\r\n";
}

// A POST to /echo whose framing is the matter; another request follows.
std::string withFraming(const std::string& lines, const std::string& body) {
    return kPostEcho + kHost + lines + "\r\n" + body + kNext;
}

// A chunked POST to /echo; `body` has its chunk framing.
std::string withChunks(const std::string& body) {
    return kPostEcho + kHost + "Transfer-Encoding: chunked\r\n\r\n" + body;
}

std::string withTrailers(const std::string& lines) {
    return withChunks("5\r\nhello\r\n0\r\n" + lines + "\r\n");
}

std::string numberedHeaders(size_t count) {
    std::string lines;
    for (size_t i = 0; i < count; ++i) lines += "X-" + std::to_string(i) + ": v\r\n";
    return lines;
}

HostileRequest refused(int status, std::string name, std::string bytes, std::string why) {
    return {std::move(name), std::move(bytes), {status}, true, std::move(why)};
}

HostileRequest bad(std::string name, std::string bytes, std::string why) {
    return refused(400, std::move(name), std::move(bytes), std::move(why));
}

HostileRequest good(std::string name, std::string bytes, std::string why) {
    return {std::move(name), std::move(bytes), {200}, false, std::move(why)};
}

HostileRequest goodThenClose(std::string name, std::string bytes, std::string why) {
    return {std::move(name), std::move(bytes), {200}, true, std::move(why)};
}

HostileRequest goodTwice(std::string name, std::string bytes, std::string why) {
    return {std::move(name), std::move(bytes), {200, 200}, false, std::move(why)};
}

// --- To be refused ---

void addBeforeRequestLine(Rows& rows) {
    const std::string emptyLines = "RFC 9112 §2.2: one empty line before the request line is forgiven, no more";
    rows.push_back(bad("start-two-empty-lines", "\r\n\r\n" + kGetRoot + kHost + "\r\n", emptyLines));
    rows.push_back(bad("start-many-empty-lines", repeated(100, "\r\n") + kGetRoot + kHost + "\r\n", emptyLines));
    rows.push_back({"start-two-empty-lines-between-requests", kNext + "\r\n\r\n" + kNext, {200, 400}, true, emptyLines});
    rows.push_back(bad("start-bare-lf", "\n" + kGetRoot + kHost + "\r\n", "RFC 9112 §2.2: what is forgiven is an empty line, CRLF; a bare LF is none here"));
    rows.push_back(bad("start-bare-cr", "\r" + kGetRoot + kHost + "\r\n", "RFC 9112 §2.2: a bare CR makes the element invalid"));
    rows.push_back(bad("start-cr-cr-lf", "\r\r\n" + kGetRoot + kHost + "\r\n", "RFC 9112 §2.2: a bare CR makes the element invalid"));
    rows.push_back(bad("start-space", " " + kGetRoot + kHost + "\r\n", "RFC 9112 §3: a request line begins with a method"));
    rows.push_back(bad("start-tab", "\t" + kGetRoot + kHost + "\r\n", "RFC 9112 §3: a request line begins with a method"));
    rows.push_back(bad("start-nul", byte(0) + kGetRoot + kHost + "\r\n", "RFC 9110 §9.1: a method is a token"));
    rows.push_back(bad("start-byte-order-mark", "\xEF\xBB\xBF" + kGetRoot + kHost + "\r\n", "RFC 9110 §9.1: a method is a token"));
    rows.push_back(bad("start-tls-client-hello",
                       byte(0x16) + byte(0x03) + byte(0x01) + byte(0x00) + byte(0xA5) + byte(0x01) + byte(0x00) +
                           byte(0x00) + byte(0xA1) + byte(0x03) + byte(0x03) + std::string(32, '\x5A') + byte(0x20),
                       "RFC 9112 §2.2: octets that are no HTTP message"));
    rows.push_back(bad("start-response", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                       "RFC 9112 §2.1: a server expects requests; '/' is in no method"));
}

void addMethod(Rows& rows) {
    const std::string unknown = "RFC 9110 §9.1: a method that nobody here implements is 501";
    rows.push_back(refused(501, "method-unknown", withLine("BREW / HTTP/1.1"), unknown));
    rows.push_back(refused(501, "method-lower-case", withLine("get / HTTP/1.1"), "RFC 9110 §9.1: methods are case-sensitive, so this one is unknown"));
    rows.push_back(refused(501, "method-known-with-suffix", withLine("GETS / HTTP/1.1"), unknown));
    rows.push_back(refused(501, "method-known-cut-short", withLine("GE / HTTP/1.1"), unknown));
    rows.push_back(refused(501, "method-all-tchars", withLine("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1"), "RFC 9110 §5.6.2: a token all the same, and an unknown one"));
    rows.push_back(refused(501, "method-long", withLine(std::string(64, 'M') + " / HTTP/1.1"), "RFC 9112 §3: a method longer than any implemented is 501"));
    rows.push_back(refused(501, "method-of-rtsp", withLine("DESCRIBE / HTTP/1.1"), "RFC 9110 §9.1: no method of HTTP, though one of RTSP"));
    rows.push_back(refused(501, "method-pri", withLine("PRI / HTTP/1.1"), "RFC 9113 §3.4: PRI begins HTTP/2's preface and is no method of HTTP/1"));

    const std::string token = "RFC 9110 §9.1: a method is a token";
    rows.push_back(bad("method-missing", withLine("/ HTTP/1.1"), token));
    rows.push_back(bad("method-at-sign", withLine("G@T / HTTP/1.1"), token));
    rows.push_back(bad("method-unknown-with-at-sign", withLine("XX@XX / HTTP/1.1"), token));
    rows.push_back(bad("method-unknown-with-colon", withLine("XX:XX / HTTP/1.1"), token));
    rows.push_back(bad("method-parentheses", withLine("(GET) / HTTP/1.1"), token));
    rows.push_back(bad("method-quoted", withLine("\"GET\" / HTTP/1.1"), token));
    rows.push_back(bad("method-ends-in-nul", withLine("GET" + byte(0) + " / HTTP/1.1"), token));
    rows.push_back(bad("method-has-del", withLine("GE" + byte(0x7F) + "T / HTTP/1.1"), token));
    rows.push_back(bad("method-not-ascii", withLine("G\xC3\x8AT / HTTP/1.1"), token));
    rows.push_back(bad("method-has-cr", withLine("GE\rT / HTTP/1.1"), token));
    rows.push_back({"method-trace-without-route", withLine("TRACE / HTTP/1.1"), {405}, false,
                    "RFC 9110 §9.3.8: TRACE is a method like others; no route has it, so 405"});
}

void addRequestLine(Rows& rows) {
    const std::string spaces = "RFC 9112 §3: single spaces between method, target and version, nothing else";
    rows.push_back(bad("line-two-spaces-before-target", withLine("GET  / HTTP/1.1"), spaces));
    rows.push_back(bad("line-two-spaces-before-version", withLine("GET /  HTTP/1.1"), spaces));
    rows.push_back(bad("line-trailing-space", withLine("GET / HTTP/1.1 "), spaces));
    rows.push_back(bad("line-trailing-tab", withLine("GET / HTTP/1.1\t"), spaces));
    rows.push_back(bad("line-tab-before-target", withLine("GET\t/ HTTP/1.1"), spaces));
    rows.push_back(bad("line-tab-before-version", withLine("GET /\tHTTP/1.1"), spaces));
    rows.push_back(bad("line-vertical-tab-before-version", withLine("GET /" + byte(0x0B) + "HTTP/1.1"), spaces));
    rows.push_back(bad("line-form-feed-before-version", withLine("GET /" + byte(0x0C) + "HTTP/1.1"), spaces));
    rows.push_back(bad("line-space-and-tab", withLine("GET \t/ HTTP/1.1"), spaces));
    rows.push_back(bad("line-space-in-target", withLine("GET /hello/a b HTTP/1.1"), spaces));
    rows.push_back(bad("line-fourth-word", withLine("GET / HTTP/1.1 HTTP/1.1"), spaces));

    rows.push_back(bad("line-only-method", withLine("GET"), "RFC 9112 §3: a request line has three parts"));
    rows.push_back(bad("line-no-target", withLine("GET HTTP/1.1"), "RFC 9112 §3: a request line has three parts"));
    rows.push_back(bad("line-empty-target", withLine("GET  HTTP/1.1"), "RFC 9112 §3.2: a target is never empty"));
    rows.push_back(bad("line-no-version", withLine("GET /"), "RFC 9112 §3: a request line without a version is HTTP/0.9, which is not spoken here"));
    rows.push_back(bad("line-no-version-trailing-space", withLine("GET / "), "RFC 9112 §3: a request line has three parts"));
    rows.push_back(bad("line-http09-simple-request", "GET /\r\n", "RFC 9112 §3: a request line without a version is HTTP/0.9, which is not spoken here"));
    rows.push_back(bad("line-http09-bare-lf", "GET /\n" + kHost + "\r\n", "RFC 9112 §2.2, §3: neither version nor CRLF; llhttp reads headers and body after it all the same (its issue 877)"));

    rows.push_back(bad("line-ends-in-bare-lf", "GET / HTTP/1.1\n" + kHost + "\r\n", "RFC 9112 §2.2: lines end in CRLF; a bare LF is refused, as the next reader may not see a line end there"));
    rows.push_back(bad("line-ends-in-bare-cr", "GET / HTTP/1.1\r" + kHost + "\r\n", "RFC 9112 §2.2: a bare CR makes the element invalid"));
    rows.push_back(bad("line-ends-in-cr-cr-lf", "GET / HTTP/1.1\r\r\n" + kHost + "\r\n", "RFC 9112 §2.2: a bare CR makes the element invalid"));
    rows.push_back(bad("line-all-bare-lf", "GET / HTTP/1.1\nHost: example.com\n\n", "RFC 9112 §2.2: lines end in CRLF"));
    rows.push_back(bad("line-cr-in-target", withLine("GET /\rX HTTP/1.1"), "RFC 9112 §2.2: a bare CR makes the element invalid"));
    rows.push_back(bad("line-lf-in-target", "GET /\nX HTTP/1.1\r\n" + kHost + "\r\n", "RFC 9112 §2.2: lines end in CRLF"));

    const std::string tooLong = "RFC 9112 §3: a longer request line than the limit is 414";
    rows.push_back(refused(414, "line-too-long", withTarget("/" + std::string(2200, 'a')), tooLong));
    rows.push_back(refused(414, "line-too-long-query", withTarget("/?" + std::string(4000, 'q')), tooLong));
    rows.push_back(refused(414, "line-too-long-absolute-form", withTarget("http://example.com/" + std::string(2200, 'a')), tooLong));
    rows.push_back(refused(414, "line-never-ends", "GET /" + std::string(20000, 'a'), tooLong));
}

void addVersion(Rows& rows) {
    const std::string grammar = "RFC 9112 §2.3: \"HTTP/\" DIGIT \".\" DIGIT, case-sensitive";
    rows.push_back(bad("version-lower-case", withVersion("http/1.1"), grammar));
    rows.push_back(bad("version-two-digit-minor", withVersion("HTTP/1.10"), grammar));
    rows.push_back(bad("version-two-digit-major", withVersion("HTTP/11.1"), grammar));
    rows.push_back(bad("version-leading-zero", withVersion("HTTP/01.1"), grammar));
    rows.push_back(bad("version-no-dot", withVersion("HTTP/11"), grammar));
    rows.push_back(bad("version-comma", withVersion("HTTP/1,1"), grammar));
    rows.push_back(bad("version-no-minor", withVersion("HTTP/1."), grammar));
    rows.push_back(bad("version-no-number", withVersion("HTTP/"), grammar));
    rows.push_back(bad("version-no-slash", withVersion("HTTP1.1"), grammar));
    rows.push_back(bad("version-signed", withVersion("HTTP/+1.1"), grammar));
    rows.push_back(bad("version-letter-behind", withVersion("HTTP/1.1x"), grammar));
    rows.push_back(bad("version-nul-behind", withVersion("HTTP/1.1" + byte(0)), grammar));
    rows.push_back(bad("version-https", withVersion("HTTPS/1.1"), grammar));
    rows.push_back(bad("version-rtsp", withVersion("RTSP/1.0"), "RFC 9112 §2.3: not HTTP, though llhttp takes it"));
    rows.push_back(bad("version-ice", withLine("SOURCE / ICE/1.0"), "RFC 9112 §2.3: not HTTP, though llhttp takes it"));

    const std::string major = "RFC 9110 §15.6.6: a major version that is not supported is 505";
    rows.push_back(refused(505, "version-0-9", withVersion("HTTP/0.9"), major));
    rows.push_back(refused(505, "version-2-0", withVersion("HTTP/2.0"), major));
    rows.push_back(refused(505, "version-3-0", withVersion("HTTP/3.0"), major));
    rows.push_back(refused(505, "version-9-9", withVersion("HTTP/9.9"), major));
    rows.push_back(refused(505, "version-http2-preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "RFC 9113 §3.4: the preface is made to fail here, by its version"));
}

void addTarget(Rows& rows) {
    const std::string form = "RFC 9112 §3.2: the target has none of the four forms";
    rows.push_back(bad("target-relative", withTarget("hello/x"), form));
    rows.push_back(bad("target-only-query", withTarget("?a=b"), form));
    rows.push_back(bad("target-one-slash-after-scheme", withTarget("http:/example.com/"), form));
    rows.push_back(bad("target-asterisk-and-more", withLine("OPTIONS *x HTTP/1.1"), form));
    rows.push_back(bad("target-asterisk-path", withTarget("*/hello"), form));
    rows.push_back(bad("target-asterisk-for-get", withTarget("*"), "RFC 9112 §3.2.4: asterisk-form is for OPTIONS alone"));
    rows.push_back(bad("target-asterisk-for-post", withLine("POST * HTTP/1.1"), "RFC 9112 §3.2.4: asterisk-form is for OPTIONS alone"));
    rows.push_back(bad("target-authority-for-get", withTarget("example.com:80"), "RFC 9112 §3.2.3: authority-form is for CONNECT alone"));
    rows.push_back(bad("target-host-for-get", withTarget("localhost:80"), "RFC 9112 §3.2.3: authority-form is for CONNECT alone"));
    rows.push_back(bad("target-fragment", withTarget("/hello/a#b"), "RFC 9112 §3.2: no form of target has a fragment"));
    rows.push_back(bad("target-fragment-after-query", withTarget("/hello/a?b#c"), "RFC 9112 §3.2: no form of target has a fragment"));

    const std::string bytes = "RFC 3986 §2: a URI has neither controls nor bytes beyond ASCII";
    rows.push_back(bad("target-not-ascii", withTarget("/hello/\xC3\xA9"), bytes));
    rows.push_back(bad("target-query-not-ascii", withTarget("/?q=\xC3\xA9"), bytes));
    rows.push_back(bad("target-nul", withTarget("/hello/a" + byte(0) + "b"), bytes));
    rows.push_back(bad("target-control-byte", withTarget("/hello/a" + byte(0x01) + "b"), bytes));
    rows.push_back(bad("target-del", withTarget("/hello/a" + byte(0x7F) + "b"), bytes));
    rows.push_back(bad("target-tab-in-query", withTarget("/?a=\tb"), bytes));

    const std::string escape = "RFC 3986 §2.1: '%' is followed by two hexadecimal digits";
    rows.push_back(bad("target-escape-without-digits", withTarget("/hello/%"), escape));
    rows.push_back(bad("target-escape-one-digit", withTarget("/hello/%4"), escape));
    rows.push_back(bad("target-escape-one-digit-then-slash", withTarget("/hello/%4/"), escape));
    rows.push_back(bad("target-escape-not-hex", withTarget("/hello/%zz"), escape));
    rows.push_back(bad("target-escape-double-percent", withTarget("/hello/%%41"), escape));
    rows.push_back(bad("target-escape-unicode-style", withTarget("/hello/%u0041"), escape));
    rows.push_back(bad("target-escaped-nul", withTarget("/hello/a%00b"), "RFC 3986 §7.3: %00 cuts the name short for whoever hands it to C"));

    const std::string dots = "RFC 3986 §5.2.4: a client removes dot segments; who sends them wants out of a directory";
    rows.push_back(bad("target-dot-dot", withTarget("/../"), dots));
    rows.push_back(bad("target-dot-dot-first", withTarget("/../hello/x"), dots));
    rows.push_back(bad("target-dot-dot-last", withTarget("/hello/.."), dots));
    rows.push_back(bad("target-dot-dot-inside", withTarget("/hello/../hello/x"), dots));
    rows.push_back(bad("target-dot", withTarget("/./"), dots));
    rows.push_back(bad("target-dot-last", withTarget("/hello/."), dots));
    rows.push_back(bad("target-dot-dot-before-query", withTarget("/hello/..?a=b"), dots));
    rows.push_back(bad("target-escaped-dot-dot", withTarget("/%2e%2e/x"), dots));
    rows.push_back(bad("target-escaped-dot-dot-upper-case", withTarget("/hello/%2E%2E"), dots));
    rows.push_back(bad("target-half-escaped-dot-dot", withTarget("/.%2e/x"), dots));
    rows.push_back(bad("target-escaped-dot", withTarget("/hello/%2e"), dots));
    rows.push_back(bad("target-dot-dot-between-escaped-slashes", withTarget("/hello/a%2F..%2Fb"), dots));
    rows.push_back(bad("target-absolute-dot-dot", withTarget("http://example.com/../x"), dots));
}

void addAuthority(Rows& rows) {
    const std::string userinfo = "RFC 9110 §4.2.4: userinfo in an http URI from elsewhere is treated as an error";
    rows.push_back(bad("absolute-userinfo", withTarget("http://user@example.com/"), userinfo));
    rows.push_back(bad("absolute-userinfo-with-password", withTarget("http://user:secret@example.com/"), userinfo));
    rows.push_back(bad("absolute-empty-userinfo", withTarget("http://@example.com/"), userinfo));
    rows.push_back(bad("absolute-ftp", withTarget("ftp://example.com/"), "RFC 9110 §4.2: not a scheme that is served here"));
    rows.push_back(bad("absolute-scheme-of-one-letter", withTarget("x://example.com/"), "RFC 9110 §4.2: not a scheme that is served here"));
    rows.push_back(bad("absolute-no-host", withTarget("http:///"), "RFC 9110 §4.2.1: an http URI with an empty host is invalid"));
    rows.push_back(bad("absolute-port-without-host", withTarget("http://:80/"), "RFC 9110 §4.2.1: an http URI with an empty host is invalid"));
    rows.push_back(bad("absolute-port-not-a-number", withTarget("http://example.com:http/"), "RFC 3986 §3.2.3: a port is digits"));
    rows.push_back(bad("absolute-port-too-large", withTarget("http://example.com:65536/"), "RFC 9293 §3.1: a TCP port has 16 bits"));
    rows.push_back(bad("absolute-open-bracket", withTarget("http://[::1/"), "RFC 3986 §3.2.2: an IPv6 address stands in brackets"));
    rows.push_back(bad("absolute-fragment", withTarget("http://example.com/#a"), "RFC 9112 §3.2.2: absolute-URI has no fragment"));
    rows.push_back(bad("absolute-without-host-field", "GET http://example.com/ HTTP/1.1\r\n\r\n", "RFC 9112 §3.2.2: Host is required though the target names one"));

    const std::string connect = "RFC 9110 §9.3.6: CONNECT wants a host and a port, nothing else; 400 for an invalid port";
    rows.push_back(bad("connect-origin-form", withConnect("/"), connect));
    rows.push_back(bad("connect-absolute-form", withConnect("http://example.com:443/"), connect));
    rows.push_back(bad("connect-asterisk-form", withConnect("*"), connect));
    rows.push_back(bad("connect-without-port", withConnect("example.com"), connect));
    rows.push_back(bad("connect-empty-port", withConnect("example.com:"), connect));
    rows.push_back(bad("connect-port-zero", withConnect("example.com:0"), connect));
    rows.push_back(bad("connect-port-too-large", withConnect("example.com:99999"), connect));
    rows.push_back(bad("connect-port-not-a-number", withConnect("example.com:https"), connect));
    rows.push_back(bad("connect-without-host", withConnect(":443"), connect));
    rows.push_back(bad("connect-userinfo", withConnect("user@example.com:443"), connect));
    rows.push_back(bad("connect-path", withConnect("example.com:443/"), connect));
    rows.push_back(bad("connect-query", withConnect("example.com:443?a"), connect));
    rows.push_back(bad("connect-ipv6-without-brackets", withConnect("::1:443"), connect));
}

void addHost(Rows& rows) {
    rows.push_back(bad("host-missing", kGetRoot + "\r\n", "RFC 9112 §3.2: 400 for an HTTP/1.1 request without Host"));
    rows.push_back(bad("host-missing-among-others", kGetRoot + "Accept: */*\r\nX-Host: example.com\r\n\r\n", "RFC 9112 §3.2: 400 for an HTTP/1.1 request without Host"));
    const std::string twice = "RFC 9112 §3.2: 400 for more than one Host line, in any version";
    rows.push_back(bad("host-twice", kGetRoot + "Host: a.example\r\nHost: b.example\r\n\r\n", twice));
    rows.push_back(bad("host-twice-equal", kGetRoot + kHost + kHost + "\r\n", twice));
    rows.push_back(bad("host-twice-other-case", kGetRoot + kHost + "hOST: example.com\r\n\r\n", twice));
    rows.push_back(bad("host-twice-in-http10", "GET / HTTP/1.0\r\n" + kHost + kHost + "\r\n", twice));

    const std::string empty = "RFC 9112 §3.3: an http target needs an authority; without a configured default the server can reject";
    rows.push_back(bad("host-empty", kGetRoot + "Host:\r\n\r\n", empty));
    rows.push_back(bad("host-blank", withHost(" \t "), empty));

    const std::string value = "RFC 9112 §3.2: 400 for a Host that is not uri-host [ \":\" port ]";
    rows.push_back(bad("host-space-inside", withHost("exa mple.com"), value));
    rows.push_back(bad("host-tab-inside", withHost("example.com\tb.example"), value));
    rows.push_back(bad("host-list", withHost("a.example, b.example"), value));
    rows.push_back(bad("host-comma", withHost("a.example,b.example"), "RFC 9110 §5.3: looks like two Host lines that someone joined; a sub-delim of reg-name, refused nevertheless"));
    rows.push_back(bad("host-slash", withHost("example.com/x"), value));
    rows.push_back(bad("host-url", withHost("http://example.com"), value));
    rows.push_back(bad("host-backslash", withHost("example.com\\x"), value));
    rows.push_back(bad("host-userinfo", withHost("user@example.com"), value));
    rows.push_back(bad("host-query", withHost("example.com?x"), value));
    rows.push_back(bad("host-fragment", withHost("example.com#x"), value));
    rows.push_back(bad("host-not-ascii", withHost("ex\xC3\xA4mple.com"), value));
    rows.push_back(bad("host-angle-brackets", withHost("<example.com>"), value));
    rows.push_back(bad("host-bad-escape", withHost("exa%zzmple.com"), value));
    rows.push_back(bad("host-only-port", withHost(":80"), value));
    rows.push_back(bad("host-port-not-a-number", withHost("example.com:http"), value));
    rows.push_back(bad("host-port-negative", withHost("example.com:-1"), value));
    rows.push_back(bad("host-port-too-large", withHost("example.com:65536"), "RFC 9293 §3.1: a TCP port has 16 bits"));
    rows.push_back(bad("host-two-ports", withHost("example.com:80:80"), value));
    rows.push_back(bad("host-ipv6-open", withHost("[::1"), value));
    rows.push_back(bad("host-ipv6-closed-only", withHost("::1]"), value));
    rows.push_back(bad("host-ipv6-without-brackets", withHost("::1"), value));
    rows.push_back(bad("host-ipv6-text-behind", withHost("[::1]x"), value));
    rows.push_back(bad("host-ipv6-empty", withHost("[]"), value));
    rows.push_back(bad("host-ipv6-not-hex", withHost("[::g]"), value));
    rows.push_back(bad("host-ipv6-too-short", withHost("[1:2:3]"), value));
    rows.push_back(bad("host-ipv4-in-brackets", withHost("[127.0.0.1]"), value));
}

void addHeaderLines(Rows& rows) {
    const std::string end = "RFC 9112 §2.2: lines end in CRLF; bare CR and bare LF are refused";
    rows.push_back(bad("header-ends-in-bare-lf", withHeaders("X-A: b\n"), end));
    rows.push_back(bad("header-ends-in-bare-cr", withHeaders("X-A: b\rX-B: c\r\n"), end));
    rows.push_back(bad("header-ends-in-cr-cr-lf", withHeaders("X-A: b\r\r\n"), end));
    rows.push_back(bad("header-empty-value-bare-cr", withHeaders("X-A:\rX-B: c\r\n"), "CVE-2023-30589: llhttp not built strict ends the line of an empty value at a bare CR"));
    rows.push_back(bad("header-blank-value-bare-cr", withHeaders("X-A: \rX-B: c\r\n"), "CVE-2023-30589: llhttp not built strict ends the line of an empty value at a bare CR"));
    rows.push_back(bad("header-empty-value-bare-lf", withHeaders("X-A:\nX-B: c\r\n"), end));
    rows.push_back(bad("header-value-begins-with-cr", withHeaders("X-A: \r\rb\r\n"), end));
    rows.push_back(bad("header-cr-in-name", withHeaders("X-\rA: b\r\n"), end));
    rows.push_back(bad("header-lf-in-name", withHeaders("X-\nA: b\r\n"), end));
    rows.push_back(bad("header-cr-before-line", withHeaders("\rX-A: b\r\n"), "CVE-2025-23167: llhttp not built strict takes CR and any byte for the end of the head"));
    rows.push_back(bad("header-lf-before-line", withHeaders("\nX-A: b\r\n"), end));
    rows.push_back(bad("head-ends-in-bare-lf", kGetRoot + kHost + "\n", end + "; llhttp, strict too, ends the head here"));
    rows.push_back(bad("head-ends-in-bare-lf-then-request", kGetRoot + kHost + "\n" + kNext, end + "; llhttp, strict too, ends the head here"));
    rows.push_back(bad("head-ends-in-cr-and-letter", kGetRoot + kHost + "\rX" + kNext, "CVE-2025-23167: llhttp not built strict takes CR and any byte for the end of the head"));
    rows.push_back(bad("head-ends-in-cr-and-letter-then-header", kPostEcho + kHost + "X: y\r\n\rXTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + kNext,
                       "CVE-2025-23167: llhttp not built strict takes CR and any byte for the end of the head"));
    rows.push_back(bad("head-ends-in-cr-cr-lf", kGetRoot + kHost + "\r\r\n", end));

    const std::string fold = "RFC 9112 §5.2: a folded line is refused with 400";
    rows.push_back(bad("fold-with-space", withHeaders("X-A: b\r\n c\r\n"), fold));
    rows.push_back(bad("fold-with-tab", withHeaders("X-A: b\r\n\tc\r\n"), fold));
    rows.push_back(bad("fold-of-empty-value", withHeaders("X-A:\r\n b\r\n"), fold));
    rows.push_back(bad("fold-blank-line", withHeaders("X-A: b\r\n \r\n"), fold));
    rows.push_back(bad("fold-hides-header", withHeaders("X-A: b\r\n Connection: close\r\n"), fold));
    rows.push_back(bad("fold-of-host", kGetRoot + "Host: example.com\r\n b.example\r\n\r\n", fold));
    rows.push_back(bad("fold-of-empty-host", kGetRoot + "Host:\r\n example.com\r\n\r\n", fold));
    rows.push_back(bad("fold-of-connection", withHeaders("Connection: keep-alive,\r\n close\r\n"), fold));
    rows.push_back(bad("fold-of-upgrade", withHeaders("Connection: upgrade\r\nUpgrade: web\r\n socket\r\n"), fold));
    rows.push_back(bad("first-header-after-space", kGetRoot + " " + kHost + "\r\n", "RFC 9112 §2.2: no white space between the request line and the first header"));
    rows.push_back(bad("first-header-after-tab", kGetRoot + "\t" + kHost + "\r\n", "RFC 9112 §2.2: no white space between the request line and the first header"));
    rows.push_back(bad("first-line-blank", kGetRoot + " \r\n" + kHost + "\r\n", "RFC 9112 §2.2: no white space between the request line and the first header"));

    const std::string colon = "RFC 9112 §5.1: 400 for white space between name and colon";
    rows.push_back(bad("header-space-before-colon", withHeaders("X-A : b\r\n"), colon));
    rows.push_back(bad("header-tab-before-colon", withHeaders("X-A\t: b\r\n"), colon));
    rows.push_back(bad("header-host-space-before-colon", kGetRoot + "Host : example.com\r\n\r\n", colon));
    rows.push_back(bad("header-connection-space-before-colon", withHeaders("Connection : close\r\n"), colon));

    const std::string name = "RFC 9110 §5.1: a field name is a token";
    rows.push_back(bad("header-without-colon", withHeaders("X-A\r\n"), "RFC 9112 §5: a field line has a colon"));
    rows.push_back(bad("header-without-colon-words", withHeaders("this is no header\r\n"), "RFC 9112 §5: a field line has a colon"));
    rows.push_back(bad("header-empty-name", withHeaders(": b\r\n"), name + ", of at least one byte; llhttp takes it (its issue 257)"));
    rows.push_back(bad("header-only-colon", withHeaders(":\r\n"), name + ", of at least one byte; other servers took this line for the empty one"));
    rows.push_back(bad("header-first-empty-name", kGetRoot + ":\r\n" + kHost + "\r\n", name + ", of at least one byte"));
    const std::string noTchars = "\"(),/;<=>?@[\\]{}";
    for (size_t i = 0; i < noTchars.size(); ++i) {
        rows.push_back(bad("header-name-delimiter-" + std::to_string(i + 1), withHeaders("X" + noTchars.substr(i, 1) + "A: b\r\n"), name));
    }
    rows.push_back(bad("header-name-space", withHeaders("X A: b\r\n"), name));
    rows.push_back(bad("header-name-nul", withHeaders("X" + byte(0) + "A: b\r\n"), name));
    rows.push_back(bad("header-name-control-byte", withHeaders("X" + byte(0x01) + "A: b\r\n"), name));
    rows.push_back(bad("header-name-del", withHeaders("X" + byte(0x7F) + "A: b\r\n"), name));
    rows.push_back(bad("header-name-not-ascii", withHeaders("X\xC3\xA9: b\r\n"), name));
    rows.push_back(bad("header-name-quoted", withHeaders("\"X-A\": b\r\n"), name));

    const std::string value = "RFC 9110 §5.5: no control bytes but HTAB in a value";
    rows.push_back(bad("header-value-nul", withHeaders("X-A: a" + byte(0) + "b\r\n"), value));
    rows.push_back(bad("header-value-only-nul", withHeaders("X-A:" + byte(0) + "\r\n"), value));
    rows.push_back(bad("header-value-control-byte", withHeaders("X-A: a" + byte(0x01) + "b\r\n"), value));
    rows.push_back(bad("header-value-backspace", withHeaders("X-A: a" + byte(0x08) + "b\r\n"), value));
    rows.push_back(bad("header-value-vertical-tab", withHeaders("X-A: a" + byte(0x0B) + "b\r\n"), value));
    rows.push_back(bad("header-value-form-feed", withHeaders("X-A: a" + byte(0x0C) + "b\r\n"), value));
    rows.push_back(bad("header-value-escape", withHeaders("X-A: a" + byte(0x1B) + "[31mb\r\n"), value));
    rows.push_back(bad("header-value-del", withHeaders("X-A: a" + byte(0x7F) + "b\r\n"), value));
    rows.push_back(bad("header-host-nul", withHost("example.com" + byte(0) + ".b.example"), value));
    rows.push_back(bad("header-connection-nul", withHeaders("Connection: close" + byte(0) + "\r\n"), value));
    rows.push_back(bad("header-upgrade-control-byte", withHeaders("Connection: upgrade\r\nUpgrade: websocket" + byte(0x01) + "\r\n"), value));
}

void addHeaderLimits(Rows& rows) {
    const std::string rule = "RFC 6585 §5: 431 for header fields beyond the limit";
    rows.push_back(refused(431, "limit-headers-65", withHeaders(numberedHeaders(64)), rule + ", Host and 64 more"));
    rows.push_back(refused(431, "limit-headers-500", withHeaders(numberedHeaders(500)), rule));
    rows.push_back(refused(431, "limit-header-value", withHeaders("X-A: " + std::string(5000, 'v') + "\r\n"), rule));
    rows.push_back(refused(431, "limit-header-name", withHeaders(std::string(5000, 'n') + ": v\r\n"), rule));
    rows.push_back(refused(431, "limit-header-blanks", withHeaders("X-A:" + std::string(5000, ' ') + "v\r\n"), rule + "; white space counts"));
    rows.push_back(refused(431, "limit-header-bytes-together", withHeaders(repeated(40, "X-A: " + std::string(120, 'v') + "\r\n")), rule));
    rows.push_back(refused(431, "limit-header-never-ends", kGetRoot + kHost + "X-A: " + std::string(50000, 'v'), rule));
}

void addContentLength(Rows& rows) {
    const std::string twice = "RFC 9112 §6.3 item 5: lists of equal lengths may be taken, and are refused here";
    rows.push_back(bad("length-twice-differing", withFraming("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), "RFC 9112 §6.3 item 5: differing lengths are unrecoverable"));
    rows.push_back(bad("length-twice-equal", withFraming("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), twice));
    rows.push_back(bad("length-twice-zero", withFraming("Content-Length: 0\r\nContent-Length: 0\r\n", ""), twice));
    rows.push_back(bad("length-zero-then-more", withFraming("Content-Length: 0\r\nContent-Length: 48\r\n", ""), "RFC 9112 §6.3 item 5: differing lengths are unrecoverable"));
    rows.push_back(bad("length-twice-apart-other-case", withFraming("Content-Length: 5\r\nX-A: b\r\ncontent-length: 6\r\n", "hello"), "RFC 9112 §6.3 item 5: differing lengths are unrecoverable"));
    rows.push_back(bad("length-list-equal", withFraming("Content-Length: 5, 5\r\n", "hello"), twice));
    rows.push_back(bad("length-list-differing", withFraming("Content-Length: 5, 6\r\n", "hello"), "RFC 9112 §6.3 item 5: differing lengths are unrecoverable"));
    rows.push_back(bad("length-list-empty-member", withFraming("Content-Length: 5,\r\n", "hello"), twice));
    rows.push_back(bad("length-list-begins-empty", withFraming("Content-Length: ,5\r\n", "hello"), twice));

    const std::string digits = "RFC 9110 §8.6: Content-Length is 1*DIGIT; RFC 9112 §6.3 item 5: else 400 and close";
    rows.push_back(bad("length-empty", withFraming("Content-Length:\r\n", ""), digits));
    rows.push_back(bad("length-blank", withFraming("Content-Length:   \r\n", ""), digits));
    rows.push_back(bad("length-plus", withFraming("Content-Length: +5\r\n", "hello"), digits));
    rows.push_back(bad("length-minus", withFraming("Content-Length: -5\r\n", "hello"), digits));
    rows.push_back(bad("length-minus-zero", withFraming("Content-Length: -0\r\n", ""), digits));
    rows.push_back(bad("length-hex", withFraming("Content-Length: 0x5\r\n", "hello"), digits));
    rows.push_back(bad("length-hex-digit", withFraming("Content-Length: a\r\n", "hellohello"), digits));
    rows.push_back(bad("length-fraction", withFraming("Content-Length: 5.0\r\n", "hello"), digits));
    rows.push_back(bad("length-exponent", withFraming("Content-Length: 5e0\r\n", "hello"), digits));
    rows.push_back(bad("length-space-inside", withFraming("Content-Length: 1 5\r\n", "hello"), digits));
    rows.push_back(bad("length-tab-inside", withFraming("Content-Length: 1\t5\r\n", "hello"), digits));
    rows.push_back(bad("length-underscore", withFraming("Content-Length: 1_0\r\n", "hellohello"), digits));
    rows.push_back(bad("length-parameter", withFraming("Content-Length: 5;x=y\r\n", "hello"), digits));
    rows.push_back(bad("length-quoted", withFraming("Content-Length: \"5\"\r\n", "hello"), digits));
    rows.push_back(bad("length-word", withFraming("Content-Length: five\r\n", "hello"), digits));
    rows.push_back(bad("length-nul-behind", withFraming("Content-Length: 5" + byte(0) + "\r\n", "hello"), digits));
    rows.push_back(bad("length-vertical-tab-before", withFraming("Content-Length: " + byte(0x0B) + "5\r\n", "hello"), digits));
    rows.push_back(bad("length-not-ascii-digit", withFraming("Content-Length: \xD9\xA5\r\n", "hello"), digits));
    rows.push_back(bad("length-overflows-64-bits", withFraming("Content-Length: 18446744073709551616\r\n", "hello"), "RFC 9110 §8.6: anticipate large numbers; what 64 bits cannot hold is refused"));
    rows.push_back(bad("length-overflows-to-five", withFraming("Content-Length: 18446744073709551621\r\n", "hello"), "RFC 9110 §8.6: 2^64 + 5 must not become 5"));

    rows.push_back(bad("length-folded", withFraming("Content-Length:\r\n 5\r\n", "hello"), "CVE-2024-27982: llhttp, strict too, reads a length from the folded line"));
    rows.push_back(bad("length-folded-tab", withFraming("Content-Length:\r\n\t5\r\n", "hello"), "CVE-2024-27982: llhttp, strict too, reads a length from the folded line"));
    rows.push_back(bad("length-continued", withFraming("Content-Length: 4\r\n 8\r\n", ""), "RFC 9112 §5.2: a folded line is refused with 400"));
    rows.push_back(bad("length-space-before-colon", withFraming("Content-Length : 48\r\n", ""), "RFC 9112 §5.1: 400 for white space between name and colon"));
    rows.push_back(bad("length-tab-before-colon", withFraming("Content-Length\t: 48\r\n", ""), "RFC 9112 §5.1: 400 for white space between name and colon"));
    rows.push_back(bad("length-behind-bare-cr", withFraming("X:\rContent-Length: 48\r\n", ""), "CVE-2023-30589: a header behind a bare CR is none"));
    rows.push_back(bad("length-behind-bare-lf", withFraming("X: y\nContent-Length: 48\r\n", ""), "RFC 9112 §2.2: a header behind a bare LF is none"));
    rows.push_back(bad("length-space-before-line", kPostEcho + " Content-Length: 48\r\n" + kHost + "\r\n" + kNext, "CVE-2024-27982: white space before the first header hides it from some readers"));

    const std::string large = "RFC 9110 §15.5.14: 413 for a body beyond the limit, before it comes";
    rows.push_back(refused(413, "length-over-limit", kPostEcho + kHost + "Content-Length: 65537\r\n\r\n", large));
    rows.push_back(refused(413, "length-over-limit-with-body", kPostEcho + kHost + "Content-Length: 65537\r\n\r\n" + std::string(kBodyLimit + 1, 'b'), large));
    rows.push_back(refused(413, "length-2-to-the-31", kPostEcho + kHost + "Content-Length: 2147483648\r\n\r\n", large));
    rows.push_back(refused(413, "length-2-to-the-32-and-5", kPostEcho + kHost + "Content-Length: 4294967301\r\n\r\nhello", large + "; 2^32 + 5 must not become 5"));
    rows.push_back(refused(413, "length-2-to-the-63", kPostEcho + kHost + "Content-Length: 9223372036854775808\r\n\r\n", large));
    rows.push_back(refused(413, "length-largest-64-bits", kPostEcho + kHost + "Content-Length: 18446744073709551615\r\n\r\n", large));
    rows.push_back(refused(413, "length-over-limit-expecting-100", kPostEcho + kHost + "Expect: 100-continue\r\nContent-Length: 65537\r\n\r\n", "RFC 9110 §10.1.1: a final status at once instead of 100"));
    rows.push_back({"length-shorter-than-body", kPostEcho + kHost + "Content-Length: 3\r\n\r\nhello" + kNext, {200, 501}, true,
                    "RFC 9112 §6.3 item 6: three bytes are the body; the next request begins with \"loGET\""});
}

void addTransferEncoding(Rows& rows) {
    const std::string both = "RFC 9112 §6.1, §6.3 item 3: Content-Length with Transfer-Encoding is refused";
    rows.push_back(bad("smuggle-cl-te", withFraming("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nX"), both));
    rows.push_back(bad("smuggle-te-cl", withFraming("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "30\r\n" + kNext + "\r\n0\r\n\r\n"), both));
    rows.push_back(bad("smuggle-cl-zero-te", withFraming("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), both));
    rows.push_back(bad("smuggle-cl-te-in-http10", "POST /echo HTTP/1.0\r\n" + kHost + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + kNext, both));
    rows.push_back(bad("smuggle-cl-te-identity", withFraming("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", "hello"), both));
    rows.push_back(bad("smuggle-cl-te-empty", withFraming("Content-Length: 5\r\nTransfer-Encoding:\r\n", "hello"), both + "; llhttp, strict too, does not see an empty Transfer-Encoding"));
    rows.push_back(bad("smuggle-te-empty-cl", withFraming("Transfer-Encoding: \r\nContent-Length: 5\r\n", "hello"), both + "; llhttp, strict too, does not see an empty Transfer-Encoding"));
    rows.push_back(bad("coding-in-http10", "POST /echo HTTP/1.0\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + kNext, "RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0 is faulty framing"));
    rows.push_back(bad("coding-in-http10-keep-alive", "POST /echo HTTP/1.0\r\n" + kHost + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + kNext,
                       "RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0 is faulty framing"));

    const std::string last = "RFC 9112 §6.3 item 4: 400 and close if chunked is not the final coding";
    const std::string empty = "0\r\n\r\n";
    rows.push_back(bad("coding-empty", withFraming("Transfer-Encoding:\r\n", ""), last + "; llhttp, strict too, does not see it (its pull request 874)"));
    rows.push_back(bad("coding-identity", withFraming("Transfer-Encoding: identity\r\n", ""), last));
    rows.push_back(bad("coding-gzip", withFraming("Transfer-Encoding: gzip\r\n", ""), last));
    rows.push_back(bad("coding-chunked-then-gzip", withFraming("Transfer-Encoding: chunked, gzip\r\n", empty), last));
    rows.push_back(bad("coding-chunked-then-identity", withFraming("Transfer-Encoding: chunked, identity\r\n", empty), last));
    rows.push_back(bad("coding-x-before-chunked", withFraming("Transfer-Encoding: xchunked\r\n", empty), last));
    rows.push_back(bad("coding-x-behind-chunked", withFraming("Transfer-Encoding: chunkedx\r\n", empty), last));
    rows.push_back(bad("coding-two-words", withFraming("Transfer-Encoding: x chunked\r\n", empty), last));
    rows.push_back(bad("coding-chunked-word-behind", withFraming("Transfer-Encoding: chunked x\r\n", empty), last));
    rows.push_back(bad("coding-split", withFraming("Transfer-Encoding: chun ked\r\n", empty), last));
    rows.push_back(bad("coding-quoted", withFraming("Transfer-Encoding: \"chunked\"\r\n", empty), last));
    rows.push_back(bad("coding-apostrophes", withFraming("Transfer-Encoding: 'chunked'\r\n", empty), last));
    rows.push_back(bad("coding-bracketed", withFraming("Transfer-Encoding: [chunked]\r\n", empty), last));
    rows.push_back(bad("coding-colon-before", withFraming("Transfer-Encoding:: chunked\r\n", empty), last));
    rows.push_back(bad("coding-semicolon-before", withFraming("Transfer-Encoding: ;chunked\r\n", empty), last));
    rows.push_back(bad("coding-semicolon-between", withFraming("Transfer-Encoding: gzip;chunked\r\n", empty), last));
    rows.push_back(bad("coding-parameter", withFraming("Transfer-Encoding: chunked;q=1\r\n", empty), "RFC 9112 §7.1: chunked has no parameters; their presence is an error"));
    rows.push_back(bad("coding-trailing-comma", withFraming("Transfer-Encoding: chunked,\r\n", empty), "RFC 9110 §5.6.1 wants empty members ignored; here they hide a coding from other readers"));
    rows.push_back(bad("coding-leading-comma", withFraming("Transfer-Encoding: ,chunked\r\n", empty), "RFC 9110 §5.6.1 wants empty members ignored; here they hide a coding from other readers"));
    rows.push_back(bad("coding-chunked-twice", withFraming("Transfer-Encoding: chunked, chunked\r\n", empty), "RFC 9112 §6.1: chunked is not applied more than once"));
    rows.push_back(bad("coding-chunked-around-another", withFraming("Transfer-Encoding: chunked, gzip, chunked\r\n", empty), "RFC 9112 §6.1: chunked is not applied more than once"));
    rows.push_back(refused(501, "coding-gzip-then-chunked", withFraming("Transfer-Encoding: gzip, chunked\r\n", empty), "RFC 9112 §6.1: 501 for a coding that is not understood"));
    rows.push_back(refused(501, "coding-identity-then-chunked", withFraming("Transfer-Encoding: identity, chunked\r\n", empty), "RFC 9112 §6.1: 501 for a coding that is not understood; identity is none since RFC 7230"));
    rows.push_back(refused(501, "coding-unknown-then-chunked", withFraming("Transfer-Encoding: xchunked,\tchunked\r\n", empty), "RFC 9112 §6.1: 501 for a coding that is not understood"));

    const std::string lines = "RFC 9112 §6.3: two lines that readers may join or choose from, like two Content-Lengths";
    rows.push_back(bad("coding-two-lines-equal", withFraming("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", empty), lines));
    rows.push_back(bad("coding-two-lines-identity-last", withFraming("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", empty), lines));
    rows.push_back(bad("coding-two-lines-x-last", withFraming("Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n", empty), lines));
    rows.push_back(bad("coding-two-lines-chunked-last", withFraming("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", empty), lines));
    rows.push_back(bad("coding-two-lines-first-empty", withFraming("Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n", empty), lines));

    const std::string hidden = "RFC 9112 §11.2: a Transfer-Encoding that one reader sees and another does not";
    rows.push_back(bad("smuggle-te-space-before-colon", withFraming("Transfer-Encoding : chunked\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-tab-before-colon", withFraming("Transfer-Encoding\t: chunked\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-nul-before-colon", withFraming("Transfer-Encoding" + byte(0) + ": chunked\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-space-in-name", withFraming("Transfer Encoding: chunked\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-space-before-name", withFraming("X: y\r\n Transfer-Encoding: chunked\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-first-line-after-space", kPostEcho + " Transfer-Encoding: chunked\r\n" + kHost + "\r\n" + empty + kNext, hidden));
    rows.push_back(bad("smuggle-te-vertical-tab-behind", withFraming("Transfer-Encoding: chunked" + byte(0x0B) + "\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-vertical-tab-before", withFraming("Transfer-Encoding: " + byte(0x0B) + "chunked\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-form-feed-before", withFraming("Transfer-Encoding: " + byte(0x0C) + "chunked\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-nul-before", withFraming("Transfer-Encoding: " + byte(0) + "chunked\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-nul-behind", withFraming("Transfer-Encoding: chunked" + byte(0) + "\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-not-ascii-behind", withFraming("Transfer-Encoding: chunked\xA0\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-behind-bare-lf", withFraming("X: y\nTransfer-Encoding: chunked\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-behind-bare-cr", withFraming("X: y\rTransfer-Encoding: chunked\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-behind-bare-cr-empty-value", withFraming("X:\rTransfer-Encoding: chunked\r\n", empty), "CVE-2023-30589: llhttp not built strict sees a header behind the bare CR"));
    rows.push_back(bad("smuggle-te-behind-bare-cr-and-letter", withFraming("X: \rxTransfer-Encoding: chunked\r\n", empty), "CVE-2023-30589: llhttp not built strict swallows the letter and sees a header"));
    rows.push_back(bad("smuggle-te-cr-before-value", withFraming("Transfer-Encoding:\rchunked\r\n", empty), hidden));
    rows.push_back(bad("smuggle-te-folded", withFraming("Transfer-Encoding:\r\n chunked\r\n", empty), "CVE-2022-32215: the value on a folded line"));
    rows.push_back(bad("smuggle-te-folded-tab", withFraming("Transfer-Encoding:\r\n\tchunked\r\n", empty), "CVE-2022-32215: the value on a folded line"));
    rows.push_back(bad("smuggle-te-continued", withFraming("Transfer-Encoding: chunked\r\n , identity\r\n", empty), "CVE-2022-32213: a folded line that changes the coding"));
    rows.push_back(bad("smuggle-te-continued-word", withFraming("Transfer-Encoding: chunked\r\n abc\r\n", empty), "CVE-2022-32213: a folded line that changes the coding"));
    rows.push_back(bad("smuggle-te-continued-blank", withFraming("Transfer-Encoding: chunked\r\n \r\n", empty), "RFC 9112 §5.2: a folded line is refused with 400"));
    rows.push_back(bad("smuggle-te-cut-in-two", withFraming("Transfer-Encoding: chun\r\n ked\r\n", empty), "CVE-2022-32215: the value on a folded line"));
    rows.push_back(bad("smuggle-te-behind-empty-name", withFraming(": x\r\nTransfer-Encoding: chunked\r\n", empty), "RFC 9110 §5.1: an empty field name, which other servers took for the end of the head"));
}

void addChunks(Rows& rows) {
    const std::string size = "RFC 9112 §7.1: chunk-size is 1*HEXDIG";
    const std::string end = "0\r\n\r\n";
    rows.push_back(bad("chunk-size-empty", withChunks("\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-only-extension", withChunks(";a=b\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-minus", withChunks("-5\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-plus", withChunks("+5\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-0x", withChunks("0x5\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-not-hex", withChunks("g\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-hex-suffix", withChunks("5h\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-underscore", withChunks("0_5\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-comma", withChunks("5,5\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-fraction", withChunks("5.0\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-space-before", withChunks(" 5\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-tab-before", withChunks("\t5\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-space-behind", withChunks("5 \r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-tab-behind", withChunks("5\t\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-space-inside", withChunks("0 5\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-nul-behind", withChunks("5" + byte(0) + "\r\nhello\r\n" + end), size));
    rows.push_back(bad("chunk-size-last-minus-zero", withChunks("5\r\nhello\r\n-0\r\n\r\n"), size));
    rows.push_back(bad("chunk-size-last-space-behind", withChunks("5\r\nhello\r\n0 \r\n\r\n"), size));

    const std::string overflow = "RFC 9112 §7.1: anticipate large numerals; what 64 bits cannot hold is refused";
    rows.push_back(bad("chunk-size-overflows-64-bits", withChunks("10000000000000000\r\nhello\r\n" + end), overflow));
    rows.push_back(bad("chunk-size-overflows-to-five", withChunks("10000000000000005\r\nhello\r\n" + end), overflow));
    rows.push_back(bad("chunk-size-overflows-far", withChunks(std::string(32, 'F') + "\r\nhello\r\n" + end), overflow));
    const std::string large = "RFC 9110 §15.5.14: 413 for a body beyond the limit";
    rows.push_back(refused(413, "chunk-size-largest-64-bits", withChunks("FFFFFFFFFFFFFFFF\r\nhello\r\n" + end), large + "; the size is in order, so no 400"));
    rows.push_back(refused(413, "chunk-size-2-to-the-63", withChunks("8000000000000000\r\nhello\r\n" + end), large));
    rows.push_back(refused(413, "chunk-size-2-to-the-32-and-5", withChunks("100000005\r\nhello\r\n" + end), large + "; 2^32 + 5 must not become 5"));
    rows.push_back(refused(413, "chunk-size-over-limit", withChunks("10001\r\n" + std::string(kBodyLimit + 1, 'b') + "\r\n" + end), large));
    rows.push_back(refused(413, "chunks-over-limit-together", withChunks("10000\r\n" + std::string(kBodyLimit, 'b') + "\r\n1\r\nb\r\n" + end), large));
    rows.push_back(refused(413, "chunks-over-limit-many", withChunks(repeated(1100, "40\r\n" + std::string(64, 'b') + "\r\n") + end), large));
    rows.push_back(refused(413, "chunk-sizes-overflow-together", withChunks("5\r\nhello\r\nFFFFFFFFFFFFFFFB\r\nhello\r\n" + end), large + "; the sum must not wrap to 0"));

    const std::string line = "RFC 9112 §7.1: CRLF ends the size line and the data";
    rows.push_back(bad("chunk-size-bare-lf", withChunks("5\nhello\r\n" + end), line));
    rows.push_back(bad("chunk-size-bare-cr", withChunks("5\rhello\r\n" + end), line));
    rows.push_back(bad("chunk-size-cr-and-letter", withChunks("5\rXhello\r\n" + end), line + "; llhttp not built strict takes any byte after CR"));
    rows.push_back(bad("chunk-size-cr-cr-lf", withChunks("5\r\r\nhello\r\n" + end), line));
    rows.push_back(bad("chunk-data-bare-lf", withChunks("5\r\nhello\n" + end), line));
    rows.push_back(bad("chunk-data-bare-cr", withChunks("5\r\nhello\r" + end), line));
    rows.push_back(bad("chunk-data-no-crlf", withChunks("5\r\nhello" + end), line));
    rows.push_back(bad("chunk-data-two-letters-for-crlf", withChunks("5\r\nhelloXX" + end), line + "; llhttp not built strict skips any two bytes"));
    rows.push_back(bad("chunk-data-lf-cr", withChunks("5\r\nhello\n\r" + end), line));
    rows.push_back(bad("chunk-data-longer-than-size", withChunks("3\r\nhello\r\n" + end), line));
    rows.push_back(bad("chunk-data-shorter-than-size", withChunks("8\r\nhello\r\n" + end), line + "; the last chunk is eaten as data"));
    rows.push_back(bad("chunk-two-empty-lines-for-size", withChunks("5\r\nhello\r\n\r\n" + end), size));
    rows.push_back(bad("chunk-last-bare-lf", withChunks("5\r\nhello\r\n0\n\r\n"), line));
    rows.push_back(bad("chunk-last-cr-and-letter", withChunks("5\r\nhello\r\n0\rX\r\n"), line));
    rows.push_back(bad("chunk-end-bare-lf", withChunks("5\r\nhello\r\n0\r\n\n" + kNext), line + "; llhttp, strict too, ends the body here"));
    rows.push_back(bad("chunk-end-cr-and-letter", withChunks("5\r\nhello\r\n0\r\n\rX" + kNext), "CVE-2025-23167: llhttp not built strict takes CR and any byte for the end"));
    rows.push_back(bad("chunk-end-missing", withChunks("5\r\nhello\r\n0\r\n" + kNext), "RFC 9112 §7.1.2: the next request line is no trailer"));
}

void addChunkExtensions(Rows& rows) {
    const std::string end = "\r\nhello\r\n0\r\n\r\n";
    const std::string grammar = "RFC 9112 §7.1.1: \";\" token [ \"=\" ( token / quoted-string ) ]";
    rows.push_back(bad("extension-only-semicolon", withChunks("5;" + end), grammar));
    rows.push_back(bad("extension-trailing-semicolon", withChunks("5;a=b;" + end), grammar + "; llhttp takes it"));
    rows.push_back(bad("extension-empty-name", withChunks("5;=b" + end), grammar + "; llhttp takes it"));
    rows.push_back(bad("extension-two-semicolons", withChunks("5;;a" + end), grammar + "; llhttp takes it"));
    rows.push_back(bad("extension-empty-value", withChunks("5;a=" + end), grammar + "; llhttp takes it"));
    rows.push_back(bad("extension-two-equals", withChunks("5;a=b=c" + end), grammar));
    rows.push_back(bad("extension-name-not-a-token", withChunks("5;a/b" + end), grammar));
    rows.push_back(bad("extension-value-half-quoted", withChunks("5;a=b\"c\"" + end), grammar + "; llhttp takes it"));
    rows.push_back(bad("extension-quote-never-closed", withChunks("5;a=\"b" + end), grammar));
    rows.push_back(bad("extension-text-behind-quote", withChunks("5;a=\"b\"c" + end), grammar));

    const std::string control = "RFC 9112 §7.1.1: no control bytes in an extension";
    rows.push_back(bad("extension-nul", withChunks("5;a" + byte(0) + end), control));
    rows.push_back(bad("extension-control-byte", withChunks("5;a=" + byte(0x01) + end), control));
    rows.push_back(bad("extension-quoted-nul", withChunks("5;a=\"" + byte(0) + "\"" + end), control));
    rows.push_back(bad("extension-quoted-del", withChunks("5;a=\"" + byte(0x7F) + "\"" + end), control + "; llhttp takes DEL"));
    rows.push_back(bad("extension-bare-lf", withChunks("5;\nhello\r\n0\r\n\r\n"), "RFC 9112 §7.1: an LF that ends the line for some readers only (CVE-2025-55315 elsewhere)"));
    rows.push_back(bad("extension-name-bare-lf", withChunks("5;a\nhello\r\n0\r\n\r\n"), "RFC 9112 §7.1: an LF that ends the line for some readers only"));
    rows.push_back(bad("extension-value-lf-inside", withChunks("5;a=b\nc" + end), "RFC 9112 §7.1: an LF that ends the line for some readers only"));
    rows.push_back(bad("extension-quoted-lf", withChunks("5;a=\"b\nc\"" + end), "RFC 9112 §7.1: an LF that ends the line for some readers only"));
    rows.push_back(bad("extension-bare-cr", withChunks("5;a\rb" + end), "RFC 9112 §2.2: a bare CR makes the element invalid; llhttp not built strict takes it for a line end"));
    rows.push_back(bad("extension-value-bare-cr", withChunks("5;a=b\rc" + end), "RFC 9112 §2.2: a bare CR makes the element invalid; llhttp not built strict takes it for a line end"));
    rows.push_back(bad("extension-quoted-crlf", withChunks("5;a=\"b\r\nc\"" + end), "RFC 9110 §5.6.4: no CRLF within a quoted-string"));

    const std::string flood = "CVE-2024-22019, RFC 9112 §7.1.1: the length of extensions is limited";
    rows.push_back(bad("extension-flood-value", withChunks("5;a=" + std::string(400, 'b') + end), flood));
    rows.push_back(bad("extension-flood-name", withChunks("5;" + std::string(400, 'a') + end), flood));
    rows.push_back(bad("extension-flood-number", withChunks("5" + repeated(200, ";a") + end), flood));
    rows.push_back(bad("extension-flood-quoted", withChunks("5;a=\"" + std::string(400, ' ') + "\"" + end), flood));
    rows.push_back(bad("extension-flood-never-ends", withChunks("5;a=" + std::string(100000, 'b')), flood));
    rows.push_back(bad("extension-flood-in-last-chunk", withChunks("5\r\nhello\r\n0;a=" + std::string(400, 'b') + "\r\n\r\n"), flood));
    rows.push_back(bad("extension-flood-over-many-chunks", withChunks(repeated(100, "1;a=" + std::string(200, 'b') + "\r\nx\r\n") + "0\r\n\r\n"), flood));
    rows.push_back(bad("chunk-size-flood-of-zeros", withChunks(std::string(400, '0') + "5" + end), "RFC 9112 §7.1: 1*HEXDIG, within the limit of a chunk-size line"));
}

void addTrailers(Rows& rows) {
    const std::string line = "RFC 9112 §7.1.2: trailers are field lines and under the same rules";
    rows.push_back(bad("trailer-bare-lf", withTrailers("X-A: b\n"), line));
    rows.push_back(bad("trailer-bare-cr", withTrailers("X-A: b\rX-B: c\r\n"), line));
    rows.push_back(bad("trailer-empty-value-bare-cr", withTrailers("X-A:\rX-B: c\r\n"), line));
    rows.push_back(bad("trailer-end-bare-lf", withChunks("5\r\nhello\r\n0\r\nX-A: b\r\n\n" + kNext), line + "; llhttp, strict too, ends the body here"));
    rows.push_back(bad("trailer-end-cr-and-letter", withChunks("5\r\nhello\r\n0\r\nX-A: b\r\n\rX" + kNext), line));
    rows.push_back(bad("trailer-fold", withTrailers("X-A: b\r\n c\r\n"), line));
    rows.push_back(bad("trailer-fold-of-empty-value", withTrailers("X-A:\r\n b\r\n"), line));
    rows.push_back(bad("trailer-begins-with-space", withTrailers(" X-A: b\r\n"), line));
    rows.push_back(bad("trailer-without-colon", withTrailers("X-A\r\n"), line));
    rows.push_back(bad("trailer-empty-name", withTrailers(": b\r\n"), line + "; llhttp takes it"));
    rows.push_back(bad("trailer-space-before-colon", withTrailers("X-A : b\r\n"), line));
    rows.push_back(bad("trailer-name-not-a-token", withTrailers("X@A: b\r\n"), line));
    rows.push_back(bad("trailer-value-nul", withTrailers("X-A: " + byte(0) + "\r\n"), line));
    rows.push_back(bad("trailer-value-del", withTrailers("X-A: " + byte(0x7F) + "\r\n"), line));

    const std::string framing = "RFC 9110 §6.5.1: fields for framing and routing must not come as trailers; who merges them is misled";
    rows.push_back(bad("trailer-content-length", withTrailers("Content-Length: 48\r\n") + kNext, framing));
    rows.push_back(bad("trailer-transfer-encoding", withTrailers("Transfer-Encoding: chunked\r\n") + kNext, framing));
    rows.push_back(bad("trailer-host", withTrailers("Host: b.example\r\n") + kNext, framing));

    const std::string limit = "RFC 6585 §5: 431, as trailers have the limits of header lines";
    rows.push_back(refused(431, "limit-trailers", withTrailers(numberedHeaders(70)), limit));
    rows.push_back(refused(431, "limit-trailer-value", withTrailers("X-A: " + std::string(5000, 'v') + "\r\n"), limit));
    rows.push_back(refused(431, "limit-trailer-never-ends", withChunks("0\r\nX-A: " + std::string(50000, 'v')), limit));
}

void addExpect(Rows& rows) {
    const std::string rule = "RFC 9110 §10.1.1: 417 for an expectation that is not 100-continue; a body may follow, so close";
    rows.push_back(refused(417, "expect-unknown", withHeaders("Expect: 200-ok\r\n"), rule));
    rows.push_back(refused(417, "expect-unknown-parameter", withHeaders("Expect: 100-continue;a=b\r\n"), rule));
    rows.push_back(refused(417, "expect-unknown-in-list", withHeaders("Expect: 100-continue, more\r\n"), rule));
    rows.push_back(refused(417, "expect-unknown-with-body", kPostEcho + kHost + "Expect: magic\r\nContent-Length: 48\r\n\r\n" + kNext, rule));
}

void addSequences(Rows& rows) {
    const std::string after = "RFC 9112 §9.3.2: answered in order; what follows the refused one is not";
    rows.push_back({"sequence-good-then-bad", kNext + withHeaders("X A: b\r\n") + kNext, {200, 400}, true, after});
    rows.push_back({"sequence-good-then-unknown-method", kNext + withLine("BREW / HTTP/1.1") + kNext, {200, 501}, true, after});
    rows.push_back({"sequence-good-then-smuggling", kNext + withFraming("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), {200, 400}, true, after});
    rows.push_back({"sequence-body-then-garbage", kPostEcho + kHost + "Content-Length: 5\r\n\r\nhello" + byte(0) + byte(1) + byte(2) + kNext, {200, 400}, true, after});
    rows.push_back({"sequence-chunks-then-second-end", withChunks("5\r\nhello\r\n0\r\n\r\n0\r\n\r\n"), {200, 400}, true,
                    "RFC 9112 §3: what follows the body is a request line; \"0\" is none"});
}

Rows makeHostileRequests() {
    Rows rows;
    addBeforeRequestLine(rows);
    addMethod(rows);
    addRequestLine(rows);
    addVersion(rows);
    addTarget(rows);
    addAuthority(rows);
    addHost(rows);
    addHeaderLines(rows);
    addHeaderLimits(rows);
    addContentLength(rows);
    addTransferEncoding(rows);
    addChunks(rows);
    addChunkExtensions(rows);
    addTrailers(rows);
    addExpect(rows);
    addSequences(rows);
    return rows;
}

// --- To be answered ---

void addUnusualLines(Rows& rows) {
    rows.push_back(good("ok-plain-get", kGetRoot + kHost + "\r\n", "RFC 9112 §2.1: the plainest request there is"));
    rows.push_back(good("ok-empty-line-first", "\r\n" + kGetRoot + kHost + "\r\n", "RFC 9112 §2.2: one empty line before the request line is ignored"));
    rows.push_back(goodTwice("ok-empty-line-behind-body", kPostEcho + kHost + "Content-Length: 5\r\n\r\nhello\r\n" + kNext, "RFC 9112 §2.2: old clients send a CRLF that is not counted"));
    rows.push_back(good("ok-line-of-2000-bytes", withTarget("/hello/" + std::string(1980, 'a')), "RFC 9112 §3: within the limit"));
    rows.push_back(good("ok-version-1-2", withVersion("HTTP/1.2"), "RFC 9110 §6.2: a higher minor version is processed as the highest known"));
    rows.push_back(good("ok-version-1-9", withVersion("HTTP/1.9"), "RFC 9110 §6.2: a higher minor version is processed as the highest known"));
    rows.push_back(goodThenClose("ok-http10-without-host", "GET / HTTP/1.0\r\n\r\n", "RFC 9112 §3.2, §9.3: HTTP/1.0 needs no Host and does not persist"));
    rows.push_back(goodThenClose("ok-http10-then-more", "GET / HTTP/1.0\r\n\r\n" + kNext, "RFC 9112 §9.3: what follows on a connection that does not persist is not answered"));
    rows.push_back(good("ok-http10-keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "RFC 9112 §9.3: HTTP/1.0 persists where it asks to"));
    rows.push_back(goodTwice("ok-http10-keep-alive-twice", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
                             "RFC 9112 §9.3: HTTP/1.0 persists where it asks to"));
    rows.push_back(goodThenClose("ok-http10-with-body", "POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", "RFC 9112 §6.3: Content-Length frames an HTTP/1.0 body"));
    rows.push_back(good("ok-method-with-hyphen", withLine("M-SEARCH /echo HTTP/1.1"), "RFC 9110 §9.1: a method is a token"));
    rows.push_back(good("ok-method-of-webdav", withLine("PROPFIND /echo HTTP/1.1"), "RFC 9110 §16.1: methods can be added"));
    rows.push_back(good("ok-options", withLine("OPTIONS /echo HTTP/1.1"), "RFC 9110 §9.3.7: OPTIONS of one resource"));
    rows.push_back(good("ok-delete-with-body", "DELETE /echo HTTP/1.1\r\n" + kHost + "Content-Length: 5\r\n\r\nhello", "RFC 9112 §6: framing does not depend on the method"));
    rows.push_back(good("ok-get-with-body", "GET /echo HTTP/1.1\r\n" + kHost + "Content-Length: 5\r\n\r\nhello", "RFC 9112 §6: framing does not depend on the method"));
    rows.push_back(good("ok-get-with-chunks", "GET /echo HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "RFC 9112 §6: framing does not depend on the method"));
}

void addUnusualTargets(Rows& rows) {
    rows.push_back(good("ok-absolute-form", withTarget("http://example.com/hello/x"), "RFC 9112 §3.2.2: a server must accept absolute-form"));
    rows.push_back(good("ok-absolute-form-upper-case", withTarget("HTTP://EXAMPLE.COM/hello/x"), "RFC 9110 §4.2.3: scheme and host are case-insensitive"));
    rows.push_back(good("ok-absolute-form-no-path", withTarget("http://example.com"), "RFC 9110 §4.2.3: an empty path is \"/\""));
    rows.push_back(good("ok-absolute-form-only-query", withTarget("http://example.com?a=b"), "RFC 9110 §4.2.3: an empty path is \"/\""));
    rows.push_back(good("ok-absolute-form-ipv6", withTarget("http://[::1]:8080/"), "RFC 3986 §3.2.2: an IPv6 address stands in brackets"));
    rows.push_back(good("ok-absolute-form-other-host", withTarget("http://other.example/"), "RFC 9112 §3.2.2: Host is ignored then"));
    rows.push_back(good("ok-escapes", withTarget("/hello/%41%7a%C3%A9%20"), "RFC 3986 §2.1: escapes in either case"));
    rows.push_back(good("ok-escaped-percent", withTarget("/hello/%2541"), "RFC 3986 §2.4: decoded once"));
    rows.push_back(good("ok-escaped-slash", withTarget("/hello/a%2Fb"), "RFC 3986 §2.2: an escaped delimiter does not delimit"));
    rows.push_back(good("ok-sub-delims-in-path", withTarget("/hello/a;b=c,d!e$f&g'(h)*+i:j@k~l"), "RFC 3986 §3.3: pchar"));
    rows.push_back(good("ok-three-dots", withTarget("/hello/..."), "RFC 3986 §3.3: not a dot segment"));
    rows.push_back(good("ok-hidden-file", withTarget("/hello/.name"), "RFC 3986 §3.3: not a dot segment"));
    rows.push_back(good("ok-dots-inside", withTarget("/hello/a..b"), "RFC 3986 §3.3: not a dot segment"));
    rows.push_back(good("ok-query-empty", withTarget("/?"), "RFC 3986 §3.4: a query may be empty"));
    rows.push_back(good("ok-query-delims", withTarget("/?a=/../b&c=d?e:f@g,h;i+j"), "RFC 3986 §3.4: '/' and '?' are data in a query"));
    rows.push_back(good("ok-query-url", withTarget("/?to=http://example.com/"), "RFC 3986 §3.4: '/' and '?' are data in a query"));
}

void addUnusualHosts(Rows& rows) {
    const std::string rule = "RFC 9110 §7.2: uri-host [ \":\" port ]";
    rows.push_back(good("ok-host-with-port", withHost("example.com:8080"), rule));
    rows.push_back(good("ok-host-empty-port", withHost("example.com:"), rule + "; a port is *DIGIT"));
    rows.push_back(good("ok-host-upper-case", withHost("EXAMPLE.COM"), rule));
    rows.push_back(good("ok-host-trailing-dot", withHost("example.com."), rule));
    rows.push_back(good("ok-host-underscore", withHost("my_host"), rule));
    rows.push_back(good("ok-host-ipv4", withHost("127.0.0.1:80"), rule));
    rows.push_back(good("ok-host-ipv6", withHost("[::1]"), rule));
    rows.push_back(good("ok-host-ipv6-port", withHost("[2001:db8::ff00:42:8329]:65535"), rule));
    rows.push_back(good("ok-host-ipv6-with-ipv4", withHost("[::ffff:192.0.2.1]"), rule));
    rows.push_back(good("ok-host-blanks-around", withHost(" \t example.com \t "), "RFC 9112 §5.1: white space around a value is none of it"));
    rows.push_back(good("ok-host-last", kGetRoot + "Accept: */*\r\nhost:example.com\r\n\r\n", "RFC 9110 §5.3: order does not matter"));
}

void addUnusualHeaders(Rows& rows) {
    rows.push_back(good("ok-header-no-space-behind-colon", withHeaders("X-A:b\r\n"), "RFC 9112 §5.1: white space around a value is optional"));
    rows.push_back(good("ok-header-blanks-around", withHeaders("X-A: \t b \t \r\n"), "RFC 9112 §5.1: white space around a value is optional"));
    rows.push_back(good("ok-header-empty-value", withHeaders("X-A:\r\nX-B: \t\r\n"), "RFC 9110 §5.5: a value may be empty"));
    rows.push_back(good("ok-header-name-all-tchars", withHeaders("!#$%&'*+-.^_`|~09azAZ: b\r\n"), "RFC 9110 §5.6.2: tchar"));
    rows.push_back(good("ok-header-name-one-byte", withHeaders("x: b\r\n"), "RFC 9110 §5.1: one byte is a name"));
    rows.push_back(good("ok-header-value-not-ascii", withHeaders("X-A: caf\xC3\xA9 \x80\xFF\r\n"), "RFC 9110 §5.5: obs-text is opaque data"));
    rows.push_back(good("ok-header-value-tab-inside", withHeaders("X-A: b\tc\r\n"), "RFC 9110 §5.5: HTAB may stand inside"));
    rows.push_back(good("ok-header-value-delimiters", withHeaders("X-A: :b: \"c, d\" (e; f=g) \\ { } [ ] <>\r\n"), "RFC 9110 §5.5: any visible character"));
    rows.push_back(good("ok-header-repeated", withHeaders("Accept: a/b\r\nAccept: c/d\r\nX-A: b\r\nX-A: b\r\n"), "RFC 9110 §5.3: lines of one name may repeat"));
    rows.push_back(good("ok-header-64-lines", withHeaders(numberedHeaders(63)), "RFC 6585 §5: at the limit, with Host"));
    rows.push_back(good("ok-header-3900-bytes", withHeaders("X-A: " + std::string(3870, 'v') + "\r\n"), "RFC 6585 §5: within the limit"));
    rows.push_back(good("ok-header-like-special-one", withHeaders("Content-Lengths: x\r\nTransfer-Encodings: gzip\r\nConnections: close\r\nHosts: a b\r\n"), "RFC 9110 §5.1: other names, other fields"));
    rows.push_back(good("ok-header-underscore-for-hyphen", kPostEcho + kHost + "Content-Length: 5\r\nTransfer_Encoding: chunked\r\n\r\nhello", "RFC 9110 §5.1: '_' is not '-'; an unknown field is ignored"));
    rows.push_back(good("ok-te-without-connection", withHeaders("TE: trailers, chunked\r\n"), "RFC 9110 §10.1.4: TE speaks of the response"));
    rows.push_back(good("ok-proxy-connection-ignored", withHeaders("Proxy-Connection: close\r\n"), "RFC 9112 §C.2.2: no field of HTTP; llhttp takes it for Connection"));
}

void addUnusualBodies(Rows& rows) {
    rows.push_back(good("ok-post-without-body", "POST /post HTTP/1.1\r\n" + kHost + "\r\n", "RFC 9112 §6.3 item 7: neither length nor coding is no body"));
    rows.push_back(goodTwice("ok-length-zero", kPostEcho + kHost + "Content-Length: 0\r\n\r\n" + kNext, "RFC 9110 §8.6: zero is a length"));
    rows.push_back(good("ok-length-leading-zeros", kPostEcho + kHost + "Content-Length: 0005\r\n\r\nhello", "RFC 9110 §8.6: 1*DIGIT, decimal"));
    rows.push_back(good("ok-length-blanks-around", kPostEcho + kHost + "Content-Length: \t 5  \r\n\r\nhello", "RFC 9112 §5.1: white space around a value is none of it"));
    rows.push_back(good("ok-length-at-limit", kPostEcho + kHost + "Content-Length: 65536\r\n\r\n" + std::string(kBodyLimit, 'b'), "RFC 9110 §15.5.14: at the limit"));
    rows.push_back(good("ok-body-is-a-request", kPostEcho + kHost + "Content-Length: " + std::to_string(kNext.size()) + "\r\n\r\n" + kNext, "RFC 9112 §6.3 item 6: a body is a body, whatever it looks like"));
    rows.push_back(good("ok-body-binary", kPostEcho + kHost + "Content-Length: 8\r\n\r\n" + byte(0) + byte(0xFF) + "\r\n\r\n" + byte(0x1A) + "\n", "RFC 9112 §6: *OCTET"));
    rows.push_back(goodTwice("ok-body-then-request", kPostEcho + kHost + "Content-Length: 5\r\n\r\nhello" + kNext, "RFC 9112 §9.3.2: pipelining"));
    rows.push_back({"ok-pipelined-five", repeated(5, kNext), {200, 200, 200, 200, 200}, false, "RFC 9112 §9.3.2: pipelining"});
}

void addUnusualChunks(Rows& rows) {
    const std::string end = "0\r\n\r\n";
    const std::string size = "RFC 9112 §7.1: chunk-size is 1*HEXDIG in either case, leading zeros and all";
    rows.push_back(good("ok-coding-upper-case", kPostEcho + kHost + "TRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n" + end, "RFC 9112 §7: coding names are case-insensitive"));
    rows.push_back(good("ok-coding-mixed-case", kPostEcho + kHost + "tRaNsFeR-eNcOdInG: cHuNkEd\r\n\r\n5\r\nhello\r\n" + end, "RFC 9112 §7: coding names are case-insensitive"));
    rows.push_back(good("ok-coding-tab-before", kPostEcho + kHost + "Transfer-Encoding:\tchunked\r\n\r\n5\r\nhello\r\n" + end, "RFC 9112 §5.1: white space around a value is none of it"));
    rows.push_back(good("ok-coding-no-space-before", kPostEcho + kHost + "Transfer-Encoding:chunked\r\n\r\n5\r\nhello\r\n" + end, "RFC 9112 §5.1: white space around a value is none of it"));
    rows.push_back(good("ok-coding-space-behind", kPostEcho + kHost + "Transfer-Encoding: chunked  \r\n\r\n5\r\nhello\r\n" + end, "RFC 9112 §5.1: white space around a value is none of it"));
    rows.push_back(good("ok-chunks-none", withChunks(end), "RFC 9112 §7.1: *chunk last-chunk"));
    rows.push_back(good("ok-chunk-size-upper-case", withChunks("1A\r\n" + std::string(26, 'b') + "\r\n" + end), size));
    rows.push_back(good("ok-chunk-size-lower-case", withChunks("1a\r\n" + std::string(26, 'b') + "\r\n" + end), size));
    rows.push_back(good("ok-chunk-size-leading-zeros", withChunks("00000000000000000005\r\nhello\r\n" + end), size));
    rows.push_back(good("ok-chunk-last-many-zeros", withChunks("5\r\nhello\r\n000\r\n\r\n"), "RFC 9112 §7.1: last-chunk is 1*(\"0\")"));
    rows.push_back(good("ok-chunks-of-one-byte", withChunks(repeated(100, "1\r\nb\r\n") + end), "RFC 9112 §7.1: *chunk"));
    rows.push_back(good("ok-chunk-at-limit", withChunks("10000\r\n" + std::string(kBodyLimit, 'b') + "\r\n" + end), "RFC 9110 §15.5.14: at the limit"));
    rows.push_back(good("ok-chunks-at-limit-together", withChunks(repeated(2, "8000\r\n" + std::string(kBodyLimit / 2, 'b') + "\r\n") + end), "RFC 9110 §15.5.14: at the limit"));
    rows.push_back(good("ok-chunk-data-looks-like-the-end", withChunks("9\r\n\r\n0\r\n\r\n\r\n\r\n" + end), "RFC 9112 §7.1: chunk-data is counted octets"));
    rows.push_back(goodTwice("ok-chunks-then-request", withChunks("5\r\nhello\r\n" + end) + kNext, "RFC 9112 §9.3.2: pipelining"));

    const std::string extension = "RFC 9112 §7.1.1: extensions that are not known are ignored";
    rows.push_back(good("ok-extension-name", withChunks("5;a\r\nhello\r\n" + end), extension));
    rows.push_back(good("ok-extension-value", withChunks("5;a=b\r\nhello\r\n" + end), extension));
    rows.push_back(good("ok-extension-quoted", withChunks("5;a=\"b; c=d\"\r\nhello\r\n" + end), extension));
    rows.push_back(good("ok-extension-quoted-tab", withChunks("5;a=\"b\tc\"\r\nhello\r\n" + end), extension));
    rows.push_back(good("ok-extension-several", withChunks("5;a;b;c=\"d\";e=f\r\nhello\r\n" + end), extension));
    rows.push_back(good("ok-extension-in-last-chunk", withChunks("5\r\nhello\r\n0;a=b\r\n\r\n"), extension));
    rows.push_back(good("ok-extension-of-200-bytes", withChunks("5;a=" + std::string(200, 'b') + "\r\nhello\r\n" + end), extension));

    const std::string trailer = "RFC 9112 §7.1.2: trailers that are not known may be discarded";
    rows.push_back(good("ok-trailer", withTrailers("X-Checksum: abc\r\n"), trailer));
    rows.push_back(good("ok-trailer-blanks-around", withTrailers("X-A: \t b \t \r\nX-B:\r\n"), trailer));
    rows.push_back(good("ok-trailer-not-announced", kPostEcho + kHost + "Trailer: X-B\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n\r\n", trailer));
    rows.push_back(goodTwice("ok-trailers-ten-then-request", withTrailers(numberedHeaders(10)) + kNext, trailer));
}

void addUnusualConnections(Rows& rows) {
    const std::string expect = "RFC 9110 §10.1.1: 100 (or the final status) where the body is wanted";
    rows.push_back(good("ok-expect-continue", kPostEcho + kHost + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", expect));
    rows.push_back(good("ok-expect-continue-other-case", kPostEcho + kHost + "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello", expect + "; case-insensitive"));
    rows.push_back(good("ok-expect-continue-chunked", kPostEcho + kHost + "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", expect));
    rows.push_back(good("ok-expect-continue-without-body", withHeaders("Expect: 100-continue\r\n"), expect));
    rows.push_back(goodThenClose("ok-expect-continue-in-http10", "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", "RFC 9110 §10.1.1: ignored in HTTP/1.0"));

    const std::string close = "RFC 9112 §9.3: close ends the connection, and what follows is not answered";
    rows.push_back(goodThenClose("ok-close", withHeaders("Connection: close\r\n"), close));
    rows.push_back(goodThenClose("ok-close-then-more", withHeaders("Connection: close\r\n") + kNext, close));
    rows.push_back(goodThenClose("ok-close-then-garbage", withHeaders("Connection: close\r\n") + "garbage", close));
    rows.push_back(goodThenClose("ok-close-upper-case", withHeaders("CONNECTION: CLOSE\r\n"), close));
    rows.push_back(goodThenClose("ok-close-in-list", withHeaders("Connection: foo, close ,bar\r\n"), close));
    rows.push_back(goodThenClose("ok-close-and-keep-alive", withHeaders("Connection: close, keep-alive\r\n"), close));
    rows.push_back(goodThenClose("ok-close-on-second-line", withHeaders("Connection: keep-alive\r\nConnection: close\r\n"), close));
    rows.push_back(goodThenClose("ok-close-tab-behind", withHeaders("Connection: close\t\r\n") + kNext, close + "; llhttp misses it (its pull request 866)"));
    rows.push_back(goodThenClose("ok-close-tab-before-comma", withHeaders("Connection: close\t, foo\r\n") + kNext, close + "; llhttp misses it"));
    rows.push_back(good("ok-closed-is-not-close", withHeaders("Connection: closed, unclose\r\n"), "RFC 9110 §7.6.1: options are whole tokens"));

    const std::string upgrade = "RFC 9110 §7.8: a server may ignore Upgrade";
    rows.push_back(goodTwice("ok-upgrade-ignored", withHeaders("Connection: upgrade\r\nUpgrade: foo/2\r\n") + kNext, upgrade + " and go on in HTTP/1.1; llhttp stops behind the head"));
    rows.push_back(goodTwice("ok-upgrade-with-body", kPostEcho + kHost + "Connection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 5\r\n\r\nhello" + kNext, upgrade + "; the body is one of HTTP/1.1"));
    rows.push_back(goodTwice("ok-upgrade-with-chunks", kPostEcho + kHost + "Connection: Upgrade\r\nUpgrade: foo\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + kNext, upgrade + "; the body is one of HTTP/1.1"));
    rows.push_back(goodTwice("ok-upgrade-to-h2c", withHeaders("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n") + kNext, upgrade));
    rows.push_back(goodTwice("ok-upgrade-without-connection", withHeaders("Upgrade: websocket\r\n") + kNext, "RFC 9110 §7.8: Upgrade counts only if Connection names it"));
    rows.push_back(goodTwice("ok-connection-upgrade-alone", withHeaders("Connection: upgrade\r\n") + kNext, "RFC 9110 §7.8: there is nothing to upgrade to"));
    rows.push_back(goodTwice("ok-upgrade-empty", withHeaders("Connection: upgrade\r\nUpgrade:\r\n") + kNext, "RFC 9110 §7.8: there is nothing to upgrade to"));
    rows.push_back(goodTwice("ok-upgrade-malformed", withHeaders("Connection: upgrade\r\nUpgrade: /13, web socket/\r\n") + kNext, upgrade + ", most of all one that names no protocol"));
    rows.push_back(goodThenClose("ok-upgrade-in-http10", "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n", "RFC 9110 §7.8: ignored in HTTP/1.0"));
}

Rows makeUnusualButValidRequests() {
    Rows rows;
    addUnusualLines(rows);
    addUnusualTargets(rows);
    addUnusualHosts(rows);
    addUnusualHeaders(rows);
    addUnusualBodies(rows);
    addUnusualChunks(rows);
    addUnusualConnections(rows);
    return rows;
}

}  // namespace

const std::vector<HostileRequest>& hostileRequests() {
    static const Rows rows = makeHostileRequests();
    return rows;
}

const std::vector<HostileRequest>& unusualButValidRequests() {
    static const Rows rows = makeUnusualButValidRequests();
    return rows;
}

}  // namespace tnet
