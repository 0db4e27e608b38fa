#include "tests/http/hostile_requests.h"

#include <cstddef>
#include <utility>

namespace tnet {
namespace {

constexpr size_t kBodyLimit = 65536;

std::string host() { return "Host: example.com\r\n"; }

std::string getRoot() { return "GET / HTTP/1.1\r\n"; }

std::string postEcho() { return "POST /echo HTTP/1.1\r\n"; }

// What an attacker hides behind a defect; also an honest second request. 47 bytes.
std::string next() { return "GET /hello/next HTTP/1.1\r\nHost: example.com\r\n\r\n"; }

// A byte that would be unreadable, or run into the hex digits after it, as an escape.
std::string byte(int value) { return std::string(1, static_cast<char>(value)); }

std::string repeated(size_t count, const std::string& text) {
    std::string all;
    for (size_t i = 0; i < count; ++i) all += text;
    return all;
}

// A request that is in order but for its first line.
std::string withLine(const std::string& line) { return line + "\r\n" + host() + "\r\n"; }

std::string withTarget(const std::string& target) { return withLine("GET " + target + " HTTP/1.1"); }

std::string withVersion(const std::string& version) { return withLine("GET / " + version); }

std::string withConnect(const std::string& target) { return withLine("CONNECT " + target + " HTTP/1.1"); }

// A GET that is in order but for `lines`, whole header lines with their line ends.
std::string withHeaders(const std::string& lines) { return getRoot() + host() + lines + "\r\n"; }

std::string withHost(const std::string& value) { return getRoot() + "Host: " + value + "\r\n\r\n"; }

// A POST to /echo whose framing is the matter; another request follows.
std::string withFraming(const std::string& lines, const std::string& body) {
    return postEcho() + host() + lines + "\r\n" + body + next();
}

// A chunked POST to /echo; `body` has its chunk framing.
std::string withChunks(const std::string& body) {
    return postEcho() + host() + "Transfer-Encoding: chunked\r\n\r\n" + body;
}

std::string withTrailers(const std::string& lines) {
    return withChunks("5\r\nhello\r\n0\r\n" + lines + "\r\n");
}

std::string numberedHeaders(size_t count) {
    std::string lines;
    for (size_t i = 0; i < count; ++i) lines += "X-" + std::to_string(i) + ": v\r\n";
    return lines;
}

class Table {
public:
    void answered(std::vector<int> statuses, std::string name, std::string bytes, std::string why) {
        m_rows.push_back({std::move(name), std::move(bytes), std::move(statuses), false, std::move(why)});
    }
    void answeredThenClosed(std::vector<int> statuses, std::string name, std::string bytes, std::string why) {
        m_rows.push_back({std::move(name), std::move(bytes), std::move(statuses), true, std::move(why)});
    }

    void refused(int status, std::string name, std::string bytes, std::string why) {
        answeredThenClosed({status}, std::move(name), std::move(bytes), std::move(why));
    }
    void bad(std::string name, std::string bytes, std::string why) {
        refused(400, std::move(name), std::move(bytes), std::move(why));
    }

    void good(std::string name, std::string bytes, std::string why) {
        answered({200}, std::move(name), std::move(bytes), std::move(why));
    }
    void goodTwice(std::string name, std::string bytes, std::string why) {
        answered({200, 200}, std::move(name), std::move(bytes), std::move(why));
    }
    void goodThenClose(std::string name, std::string bytes, std::string why) {
        answeredThenClosed({200}, std::move(name), std::move(bytes), std::move(why));
    }

    std::vector<HostileRequest> take() { return std::move(m_rows); }

private:
    std::vector<HostileRequest> m_rows;
};

// --- To be refused ---

void addBeforeRequestLine(Table& table) {
    const std::string emptyLines =
        "RFC 9112 §2.2: one empty line before the request line is forgiven, no more";
    table.bad("start-two-empty-lines", "\r\n\r\n" + getRoot() + host() + "\r\n", emptyLines);
    table.bad("start-many-empty-lines", repeated(100, "\r\n") + getRoot() + host() + "\r\n", emptyLines);
    table.answeredThenClosed({200, 400}, "start-two-empty-lines-between-requests",
                             next() + "\r\n\r\n" + next(), emptyLines);
    table.bad("start-bare-lf", "\n" + getRoot() + host() + "\r\n",
              "RFC 9112 §2.2: what is forgiven is an empty line, CRLF; a bare LF is none here");
    table.bad("start-bare-cr", "\r" + getRoot() + host() + "\r\n",
              "RFC 9112 §2.2: a bare CR makes the element invalid");
    table.bad("start-cr-cr-lf", "\r\r\n" + getRoot() + host() + "\r\n",
              "RFC 9112 §2.2: a bare CR makes the element invalid");
    table.bad("start-space", " " + getRoot() + host() + "\r\n",
              "RFC 9112 §3: a request line begins with a method");
    table.bad("start-tab", "\t" + getRoot() + host() + "\r\n",
              "RFC 9112 §3: a request line begins with a method");
    table.bad("start-nul", byte(0) + getRoot() + host() + "\r\n", "RFC 9110 §9.1: a method is a token");
    table.bad("start-byte-order-mark", "\xEF\xBB\xBF" + getRoot() + host() + "\r\n",
              "RFC 9110 §9.1: a method is a token");
    table.bad("start-tls-client-hello",
              byte(0x16) + byte(0x03) + byte(0x01) + byte(0x00) + byte(0xA5) + byte(0x01) + byte(0x00) +
                  byte(0x00) + byte(0xA1) + byte(0x03) + byte(0x03) + std::string(32, '\x5A') + byte(0x20),
              "RFC 9112 §2.2: octets that are no HTTP message");
    table.bad("start-response", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
              "RFC 9112 §2.1: a server expects requests; '/' is in no method");
}

void addMethod(Table& table) {
    const std::string unknown = "RFC 9110 §9.1: a method that nobody here implements is 501";
    table.refused(501, "method-unknown", withLine("BREW / HTTP/1.1"), unknown);
    table.refused(501, "method-lower-case", withLine("get / HTTP/1.1"),
                  "RFC 9110 §9.1: methods are case-sensitive, so this one is unknown");
    table.refused(501, "method-known-with-suffix", withLine("GETS / HTTP/1.1"), unknown);
    table.refused(501, "method-known-cut-short", withLine("GE / HTTP/1.1"), unknown);
    table.refused(501, "method-all-tchars", withLine("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1"),
                  "RFC 9110 §5.6.2: a token all the same, and an unknown one");
    table.refused(501, "method-long", withLine(std::string(64, 'M') + " / HTTP/1.1"),
                  "RFC 9112 §3: a method longer than any implemented is 501");
    table.refused(501, "method-of-rtsp", withLine("DESCRIBE / HTTP/1.1"),
                  "RFC 9110 §9.1: no method of HTTP, though one of RTSP");
    table.refused(501, "method-pri", withLine("PRI / HTTP/1.1"),
                  "RFC 9113 §3.4: PRI begins HTTP/2's preface and is no method of HTTP/1");

    const std::string token = "RFC 9110 §9.1: a method is a token";
    table.bad("method-missing", withLine("/ HTTP/1.1"), token);
    table.bad("method-at-sign", withLine("G@T / HTTP/1.1"), token);
    table.bad("method-unknown-with-at-sign", withLine("XX@XX / HTTP/1.1"), token);
    table.bad("method-unknown-with-colon", withLine("XX:XX / HTTP/1.1"), token);
    table.bad("method-parentheses", withLine("(GET) / HTTP/1.1"), token);
    table.bad("method-quoted", withLine("\"GET\" / HTTP/1.1"), token);
    table.bad("method-ends-in-nul", withLine("GET" + byte(0) + " / HTTP/1.1"), token);
    table.bad("method-has-del", withLine("GE" + byte(0x7F) + "T / HTTP/1.1"), token);
    table.bad("method-not-ascii", withLine("G\xC3\x8AT / HTTP/1.1"), token);
    table.bad("method-has-cr", withLine("GE\rT / HTTP/1.1"), token);
    table.answered({405}, "method-trace-without-route", withLine("TRACE / HTTP/1.1"),
                   "RFC 9110 §9.3.8: TRACE is a method like others; no route has it, so 405");
}

void addRequestLine(Table& table) {
    const std::string spaces = "RFC 9112 §3: single spaces between method, target and version, nothing else";
    table.bad("line-two-spaces-before-target", withLine("GET  / HTTP/1.1"), spaces);
    table.bad("line-two-spaces-before-version", withLine("GET /  HTTP/1.1"), spaces);
    table.bad("line-trailing-space", withLine("GET / HTTP/1.1 "), spaces);
    table.bad("line-trailing-tab", withLine("GET / HTTP/1.1\t"), spaces);
    table.bad("line-tab-before-target", withLine("GET\t/ HTTP/1.1"), spaces);
    table.bad("line-tab-before-version", withLine("GET /\tHTTP/1.1"), spaces);
    table.bad("line-vertical-tab-before-version", withLine("GET /" + byte(0x0B) + "HTTP/1.1"), spaces);
    table.bad("line-form-feed-before-version", withLine("GET /" + byte(0x0C) + "HTTP/1.1"), spaces);
    table.bad("line-space-and-tab", withLine("GET \t/ HTTP/1.1"), spaces);
    table.bad("line-space-in-target", withLine("GET /hello/a b HTTP/1.1"), spaces);
    table.bad("line-fourth-word", withLine("GET / HTTP/1.1 HTTP/1.1"), spaces);

    table.bad("line-only-method", withLine("GET"), "RFC 9112 §3: a request line has three parts");
    table.bad("line-no-target", withLine("GET HTTP/1.1"), "RFC 9112 §3: a request line has three parts");
    table.bad("line-empty-target", withLine("GET  HTTP/1.1"), "RFC 9112 §3.2: a target is never empty");
    table.bad("line-no-version", withLine("GET /"),
              "RFC 9112 §3: a request line without a version is HTTP/0.9, which is not spoken here");
    table.bad("line-no-version-trailing-space", withLine("GET / "),
              "RFC 9112 §3: a request line has three parts");
    table.bad("line-http09-simple-request", "GET /\r\n",
              "RFC 9112 §3: a request line without a version is HTTP/0.9, which is not spoken here");
    table.bad("line-http09-bare-lf", "GET /\n" + host() + "\r\n",
              "RFC 9112 §2.2, §3: neither version nor CRLF; llhttp reads headers and a body after it (its "
              "issue 877)");

    table.bad("line-ends-in-bare-lf", "GET / HTTP/1.1\n" + host() + "\r\n",
              "RFC 9112 §2.2: lines end in CRLF; a bare LF is refused, as the next reader may not see a line "
              "end there");
    table.bad("line-ends-in-bare-cr", "GET / HTTP/1.1\r" + host() + "\r\n",
              "RFC 9112 §2.2: a bare CR makes the element invalid");
    table.bad("line-ends-in-cr-cr-lf", "GET / HTTP/1.1\r\r\n" + host() + "\r\n",
              "RFC 9112 §2.2: a bare CR makes the element invalid");
    table.bad("line-all-bare-lf", "GET / HTTP/1.1\nHost: example.com\n\n",
              "RFC 9112 §2.2: lines end in CRLF");
    table.bad("line-cr-in-target", withLine("GET /\rX HTTP/1.1"),
              "RFC 9112 §2.2: a bare CR makes the element invalid");
    table.bad("line-lf-in-target", "GET /\nX HTTP/1.1\r\n" + host() + "\r\n",
              "RFC 9112 §2.2: lines end in CRLF");

    const std::string tooLong = "RFC 9112 §3: a longer request line than the limit is 414";
    table.refused(414, "line-too-long", withTarget("/" + std::string(2200, 'a')), tooLong);
    table.refused(414, "line-too-long-query", withTarget("/?" + std::string(4000, 'q')), tooLong);
    table.refused(414, "line-too-long-absolute-form",
                  withTarget("http://example.com/" + std::string(2200, 'a')), tooLong);
    table.refused(414, "line-never-ends", "GET /" + std::string(20000, 'a'), tooLong);
}

void addVersion(Table& table) {
    const std::string grammar = "RFC 9112 §2.3: \"HTTP/\" DIGIT \".\" DIGIT, case-sensitive";
    table.bad("version-lower-case", withVersion("http/1.1"), grammar);
    table.bad("version-two-digit-minor", withVersion("HTTP/1.10"), grammar);
    table.bad("version-two-digit-major", withVersion("HTTP/11.1"), grammar);
    table.bad("version-leading-zero", withVersion("HTTP/01.1"), grammar);
    table.bad("version-no-dot", withVersion("HTTP/11"), grammar);
    table.bad("version-comma", withVersion("HTTP/1,1"), grammar);
    table.bad("version-no-minor", withVersion("HTTP/1."), grammar);
    table.bad("version-no-number", withVersion("HTTP/"), grammar);
    table.bad("version-no-slash", withVersion("HTTP1.1"), grammar);
    table.bad("version-signed", withVersion("HTTP/+1.1"), grammar);
    table.bad("version-letter-behind", withVersion("HTTP/1.1x"), grammar);
    table.bad("version-nul-behind", withVersion("HTTP/1.1" + byte(0)), grammar);
    table.bad("version-https", withVersion("HTTPS/1.1"), grammar);
    table.bad("version-rtsp", withVersion("RTSP/1.0"), "RFC 9112 §2.3: not HTTP, though llhttp takes it");
    table.bad("version-ice", withLine("SOURCE / ICE/1.0"), "RFC 9112 §2.3: not HTTP, though llhttp takes it");

    const std::string major = "RFC 9110 §15.6.6: a major version that is not supported is 505";
    table.refused(505, "version-0-9", withVersion("HTTP/0.9"), major);
    table.refused(505, "version-2-0", withVersion("HTTP/2.0"), major);
    table.refused(505, "version-3-0", withVersion("HTTP/3.0"), major);
    table.refused(505, "version-9-9", withVersion("HTTP/9.9"), major);
    table.refused(505, "version-http2-preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                  "RFC 9113 §3.4: the preface is made to fail here, by its version");
}

void addTarget(Table& table) {
    const std::string form = "RFC 9112 §3.2: the target has none of the four forms";
    table.bad("target-relative", withTarget("hello/x"), form);
    table.bad("target-only-query", withTarget("?a=b"), form);
    table.bad("target-one-slash-after-scheme", withTarget("http:/example.com/"), form);
    table.bad("target-asterisk-and-more", withLine("OPTIONS *x HTTP/1.1"), form);
    table.bad("target-asterisk-path", withTarget("*/hello"), form);
    table.bad("target-asterisk-for-get", withTarget("*"),
              "RFC 9112 §3.2.4: asterisk-form is for OPTIONS alone");
    table.bad("target-asterisk-for-post", withLine("POST * HTTP/1.1"),
              "RFC 9112 §3.2.4: asterisk-form is for OPTIONS alone");
    table.bad("target-authority-for-get", withTarget("example.com:80"),
              "RFC 9112 §3.2.3: authority-form is for CONNECT alone");
    table.bad("target-host-for-get", withTarget("localhost:80"),
              "RFC 9112 §3.2.3: authority-form is for CONNECT alone");
    table.bad("target-fragment", withTarget("/hello/a#b"), "RFC 9112 §3.2: no form of target has a fragment");
    table.bad("target-fragment-after-query", withTarget("/hello/a?b#c"),
              "RFC 9112 §3.2: no form of target has a fragment");

    const std::string bytes = "RFC 3986 §2: a URI has neither controls nor bytes beyond ASCII";
    table.bad("target-not-ascii", withTarget("/hello/\xC3\xA9"), bytes);
    table.bad("target-query-not-ascii", withTarget("/?q=\xC3\xA9"), bytes);
    table.bad("target-nul", withTarget("/hello/a" + byte(0) + "b"), bytes);
    table.bad("target-control-byte", withTarget("/hello/a" + byte(0x01) + "b"), bytes);
    table.bad("target-del", withTarget("/hello/a" + byte(0x7F) + "b"), bytes);
    table.bad("target-tab-in-query", withTarget("/?a=\tb"), bytes);

    const std::string escape = "RFC 3986 §2.1: '%' is followed by two hexadecimal digits";
    table.bad("target-escape-without-digits", withTarget("/hello/%"), escape);
    table.bad("target-escape-one-digit", withTarget("/hello/%4"), escape);
    table.bad("target-escape-one-digit-then-slash", withTarget("/hello/%4/"), escape);
    table.bad("target-escape-not-hex", withTarget("/hello/%zz"), escape);
    table.bad("target-escape-double-percent", withTarget("/hello/%%41"), escape);
    table.bad("target-escape-unicode-style", withTarget("/hello/%u0041"), escape);
    table.bad("target-escaped-nul", withTarget("/hello/a%00b"),
              "RFC 3986 §7.3: %00 cuts the name short for whoever hands it to C");

    const std::string dots =
        "RFC 3986 §5.2.4: a client removes dot segments; who sends them wants out of a directory";
    table.bad("target-dot-dot", withTarget("/../"), dots);
    table.bad("target-dot-dot-first", withTarget("/../hello/x"), dots);
    table.bad("target-dot-dot-last", withTarget("/hello/.."), dots);
    table.bad("target-dot-dot-inside", withTarget("/hello/../hello/x"), dots);
    table.bad("target-dot", withTarget("/./"), dots);
    table.bad("target-dot-last", withTarget("/hello/."), dots);
    table.bad("target-dot-dot-before-query", withTarget("/hello/..?a=b"), dots);
    table.bad("target-escaped-dot-dot", withTarget("/%2e%2e/x"), dots);
    table.bad("target-escaped-dot-dot-upper-case", withTarget("/hello/%2E%2E"), dots);
    table.bad("target-half-escaped-dot-dot", withTarget("/.%2e/x"), dots);
    table.bad("target-escaped-dot", withTarget("/hello/%2e"), dots);
    table.bad("target-dot-dot-between-escaped-slashes", withTarget("/hello/a%2F..%2Fb"), dots);
    table.bad("target-absolute-dot-dot", withTarget("http://example.com/../x"), dots);
}

void addAuthority(Table& table) {
    const std::string userinfo =
        "RFC 9110 §4.2.4: userinfo in an http URI from elsewhere is treated as an error";
    table.bad("absolute-userinfo", withTarget("http://user@example.com/"), userinfo);
    table.bad("absolute-userinfo-with-password", withTarget("http://user:secret@example.com/"), userinfo);
    table.bad("absolute-empty-userinfo", withTarget("http://@example.com/"), userinfo);
    table.bad("absolute-dot-dot", withTarget("http://a..example/"),
              "RFC 1034 §3.1: no label but the root's is empty");
    table.bad("absolute-ftp", withTarget("ftp://example.com/"),
              "RFC 9110 §4.2: not a scheme that is served here");
    table.bad("absolute-scheme-of-one-letter", withTarget("x://example.com/"),
              "RFC 9110 §4.2: not a scheme that is served here");
    table.bad("absolute-no-host", withTarget("http:///"),
              "RFC 9110 §4.2.1: an http URI with an empty host is invalid");
    table.bad("absolute-port-without-host", withTarget("http://:80/"),
              "RFC 9110 §4.2.1: an http URI with an empty host is invalid");
    table.bad("absolute-port-not-a-number", withTarget("http://example.com:http/"),
              "RFC 3986 §3.2.3: a port is digits");
    table.bad("absolute-port-too-large", withTarget("http://example.com:65536/"),
              "RFC 9293 §3.1: a TCP port has 16 bits");
    table.bad("absolute-open-bracket", withTarget("http://[::1/"),
              "RFC 3986 §3.2.2: an IPv6 address stands in brackets");
    table.bad("absolute-fragment", withTarget("http://example.com/#a"),
              "RFC 9112 §3.2.2: absolute-URI has no fragment");
    table.bad("absolute-without-host-field", "GET http://example.com/ HTTP/1.1\r\n\r\n",
              "RFC 9112 §3.2.2: Host is required though the target names one");

    const std::string connect =
        "RFC 9110 §9.3.6: CONNECT wants a host and a port, nothing else; 400 for an invalid port";
    table.refused(501, "connect-no-tunnel", withConnect("example.com:443") + next(),
                  "RFC 9110 §9.3.6, §15.6.2: no tunnels here; what follows is for the tunnel's other end");
    table.bad("connect-origin-form", withConnect("/"), connect);
    table.bad("connect-absolute-form", withConnect("http://example.com:443/"), connect);
    table.bad("connect-asterisk-form", withConnect("*"), connect);
    table.bad("connect-without-port", withConnect("example.com"), connect);
    table.bad("connect-empty-port", withConnect("example.com:"), connect);
    table.bad("connect-port-zero", withConnect("example.com:0"), connect);
    table.bad("connect-port-too-large", withConnect("example.com:99999"), connect);
    table.bad("connect-port-not-a-number", withConnect("example.com:https"), connect);
    table.bad("connect-without-host", withConnect(":443"), connect);
    table.bad("connect-userinfo", withConnect("user@example.com:443"), connect);
    table.bad("connect-path", withConnect("example.com:443/"), connect);
    table.bad("connect-query", withConnect("example.com:443?a"), connect);
    table.bad("connect-ipv6-without-brackets", withConnect("::1:443"), connect);
}

void addHost(Table& table) {
    table.bad("host-missing", getRoot() + "\r\n", "RFC 9112 §3.2: 400 for an HTTP/1.1 request without Host");
    table.bad("host-missing-among-others", getRoot() + "Accept: */*\r\nX-Host: example.com\r\n\r\n",
              "RFC 9112 §3.2: 400 for an HTTP/1.1 request without Host");
    const std::string twice = "RFC 9112 §3.2: 400 for more than one Host line, in any version";
    table.bad("host-twice", getRoot() + "Host: a.example\r\nHost: b.example\r\n\r\n", twice);
    table.bad("host-twice-equal", getRoot() + host() + host() + "\r\n", twice);
    table.bad("host-twice-other-case", getRoot() + host() + "hOST: example.com\r\n\r\n", twice);
    table.bad("host-twice-in-http10", "GET / HTTP/1.0\r\n" + host() + host() + "\r\n", twice);

    const std::string empty =
        "RFC 9112 §3.3: an http target needs an authority; without a configured default the server can "
        "reject";
    table.bad("host-empty", getRoot() + "Host:\r\n\r\n", empty);
    table.bad("host-blank", withHost(" \t "), empty);

    const std::string value = "RFC 9112 §3.2: 400 for a Host that is not uri-host [ \":\" port ]";
    table.bad("host-space-inside", withHost("exa mple.com"), value);
    table.bad("host-tab-inside", withHost("example.com\tb.example"), value);
    table.bad("host-list", withHost("a.example, b.example"), value);
    table.bad("host-comma", withHost("a.example,b.example"),
              "RFC 9110 §5.3: looks like two Host lines that someone joined; a sub-delim of reg-name, "
              "refused nevertheless");
    const std::string label =
        "RFC 1034 §3.1: no label but the root's is empty; \"..\" leads out of a directory of hosts";
    table.bad("host-dot", withHost("."), label);
    table.bad("host-dot-dot", withHost(".."), label);
    table.bad("host-dot-dot-inside", withHost("a..example"), label);
    table.bad("host-dot-dot-behind", withHost("example.com..:80"), label);
    table.bad("host-begins-with-dot", withHost(".example.com"), label);
    table.bad("host-slash", withHost("example.com/x"), value);
    table.bad("host-url", withHost("http://example.com"), value);
    table.bad("host-backslash", withHost("example.com\\x"), value);
    table.bad("host-userinfo", withHost("user@example.com"), value);
    table.bad("host-query", withHost("example.com?x"), value);
    table.bad("host-fragment", withHost("example.com#x"), value);
    table.bad("host-not-ascii", withHost("ex\xC3\xA4mple.com"), value);
    table.bad("host-angle-brackets", withHost("<example.com>"), value);
    table.bad("host-bad-escape", withHost("exa%zzmple.com"), value);
    table.bad("host-only-port", withHost(":80"), value);
    table.bad("host-port-not-a-number", withHost("example.com:http"), value);
    table.bad("host-port-negative", withHost("example.com:-1"), value);
    table.bad("host-port-too-large", withHost("example.com:65536"), "RFC 9293 §3.1: a TCP port has 16 bits");
    table.bad("host-two-ports", withHost("example.com:80:80"), value);
    table.bad("host-ipv6-open", withHost("[::1"), value);
    table.bad("host-ipv6-closed-only", withHost("::1]"), value);
    table.bad("host-ipv6-without-brackets", withHost("::1"), value);
    table.bad("host-ipv6-text-behind", withHost("[::1]x"), value);
    table.bad("host-ipv6-empty", withHost("[]"), value);
    table.bad("host-ipv6-not-hex", withHost("[::g]"), value);
    table.bad("host-ipv6-too-short", withHost("[1:2:3]"), value);
    table.bad("host-ipv4-in-brackets", withHost("[127.0.0.1]"), value);
}

void addHeaderLines(Table& table) {
    const std::string end = "RFC 9112 §2.2: lines end in CRLF; bare CR and bare LF are refused";
    table.bad("header-ends-in-bare-lf", withHeaders("X-A: b\n"), end);
    table.bad("header-ends-in-bare-cr", withHeaders("X-A: b\rX-B: c\r\n"), end);
    table.bad("header-ends-in-cr-cr-lf", withHeaders("X-A: b\r\r\n"), end);
    table.bad("header-empty-value-bare-cr", withHeaders("X-A:\rX-B: c\r\n"),
              "CVE-2023-30589: llhttp not built strict ends the line of an empty value at a bare CR");
    table.bad("header-blank-value-bare-cr", withHeaders("X-A: \rX-B: c\r\n"),
              "CVE-2023-30589: llhttp not built strict ends the line of an empty value at a bare CR");
    table.bad("header-empty-value-bare-lf", withHeaders("X-A:\nX-B: c\r\n"), end);
    table.bad("header-value-begins-with-cr", withHeaders("X-A: \r\rb\r\n"), end);
    table.bad("header-cr-in-name", withHeaders("X-\rA: b\r\n"), end);
    table.bad("header-lf-in-name", withHeaders("X-\nA: b\r\n"), end);
    table.bad("header-cr-before-line", withHeaders("\rX-A: b\r\n"),
              "CVE-2025-23167: llhttp not built strict takes CR and any byte for the end of the head");
    table.bad("header-lf-before-line", withHeaders("\nX-A: b\r\n"), end);
    table.bad("head-ends-in-bare-lf", getRoot() + host() + "\n",
              end + "; llhttp, strict too, ends the head here");
    table.bad("head-ends-in-bare-lf-then-request", getRoot() + host() + "\n" + next(),
              end + "; llhttp, strict too, ends the head here");
    table.bad("head-ends-in-cr-and-letter", getRoot() + host() + "\rX" + next(),
              "CVE-2025-23167: llhttp not built strict takes CR and any byte for the end of the head");
    table.bad("head-ends-in-cr-and-letter-then-header",
              postEcho() + host() + "X: y\r\n\rXTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next(),
              "CVE-2025-23167: llhttp not built strict takes CR and any byte for the end of the head");
    table.bad("head-ends-in-cr-cr-lf", getRoot() + host() + "\r\r\n", end);

    const std::string fold = "RFC 9112 §5.2: a folded line is refused with 400";
    table.bad("fold-with-space", withHeaders("X-A: b\r\n c\r\n"), fold);
    table.bad("fold-with-tab", withHeaders("X-A: b\r\n\tc\r\n"), fold);
    table.bad("fold-of-empty-value", withHeaders("X-A:\r\n b\r\n"), fold);
    table.bad("fold-blank-line", withHeaders("X-A: b\r\n \r\n"), fold);
    table.bad("fold-hides-header", withHeaders("X-A: b\r\n Connection: close\r\n"), fold);
    table.bad("fold-of-host", getRoot() + "Host: example.com\r\n b.example\r\n\r\n", fold);
    table.bad("fold-of-empty-host", getRoot() + "Host:\r\n example.com\r\n\r\n", fold);
    table.bad("fold-of-connection", withHeaders("Connection: keep-alive,\r\n close\r\n"), fold);
    table.bad("fold-of-upgrade", withHeaders("Connection: upgrade\r\nUpgrade: web\r\n socket\r\n"), fold);
    table.bad("first-header-after-space", getRoot() + " " + host() + "\r\n",
              "RFC 9112 §2.2: no white space between the request line and the first header");
    table.bad("first-header-after-tab", getRoot() + "\t" + host() + "\r\n",
              "RFC 9112 §2.2: no white space between the request line and the first header");
    table.bad("first-line-blank", getRoot() + " \r\n" + host() + "\r\n",
              "RFC 9112 §2.2: no white space between the request line and the first header");

    const std::string colon = "RFC 9112 §5.1: 400 for white space between name and colon";
    table.bad("header-space-before-colon", withHeaders("X-A : b\r\n"), colon);
    table.bad("header-tab-before-colon", withHeaders("X-A\t: b\r\n"), colon);
    table.bad("header-host-space-before-colon", getRoot() + "Host : example.com\r\n\r\n", colon);
    table.bad("header-connection-space-before-colon", withHeaders("Connection : close\r\n"), colon);

    const std::string name = "RFC 9110 §5.1: a field name is a token";
    table.bad("header-without-colon", withHeaders("X-A\r\n"), "RFC 9112 §5: a field line has a colon");
    table.bad("header-without-colon-words", withHeaders("this is no header\r\n"),
              "RFC 9112 §5: a field line has a colon");
    table.bad("header-empty-name", withHeaders(": b\r\n"),
              name + ", of at least one byte; llhttp takes it (its issue 257)");
    table.bad("header-only-colon", withHeaders(":\r\n"),
              name + ", of at least one byte; other servers took this line for the empty one");
    table.bad("header-first-empty-name", getRoot() + ":\r\n" + host() + "\r\n",
              name + ", of at least one byte");
    const std::string noTchars = "\"(),/;<=>?@[\\]{}";
    for (size_t i = 0; i < noTchars.size(); ++i) {
        table.bad("header-name-delimiter-" + std::to_string(i + 1),
                  withHeaders("X" + noTchars.substr(i, 1) + "A: b\r\n"), name);
    }
    table.bad("header-name-space", withHeaders("X A: b\r\n"), name);
    table.bad("header-name-nul", withHeaders("X" + byte(0) + "A: b\r\n"), name);
    table.bad("header-name-control-byte", withHeaders("X" + byte(0x01) + "A: b\r\n"), name);
    table.bad("header-name-del", withHeaders("X" + byte(0x7F) + "A: b\r\n"), name);
    table.bad("header-name-not-ascii", withHeaders("X\xC3\xA9: b\r\n"), name);
    table.bad("header-name-quoted", withHeaders("\"X-A\": b\r\n"), name);

    const std::string value = "RFC 9110 §5.5: no control bytes but HTAB in a value";
    table.bad("header-value-nul", withHeaders("X-A: a" + byte(0) + "b\r\n"), value);
    table.bad("header-value-only-nul", withHeaders("X-A:" + byte(0) + "\r\n"), value);
    table.bad("header-value-control-byte", withHeaders("X-A: a" + byte(0x01) + "b\r\n"), value);
    table.bad("header-value-backspace", withHeaders("X-A: a" + byte(0x08) + "b\r\n"), value);
    table.bad("header-value-vertical-tab", withHeaders("X-A: a" + byte(0x0B) + "b\r\n"), value);
    table.bad("header-value-form-feed", withHeaders("X-A: a" + byte(0x0C) + "b\r\n"), value);
    table.bad("header-value-escape", withHeaders("X-A: a" + byte(0x1B) + "[31mb\r\n"), value);
    table.bad("header-value-del", withHeaders("X-A: a" + byte(0x7F) + "b\r\n"), value);
    table.bad("header-host-nul", withHost("example.com" + byte(0) + ".b.example"), value);
    table.bad("header-connection-nul", withHeaders("Connection: close" + byte(0) + "\r\n"), value);
    table.bad("header-upgrade-control-byte",
              withHeaders("Connection: upgrade\r\nUpgrade: websocket" + byte(0x01) + "\r\n"), value);
}

void addHeaderLimits(Table& table) {
    const std::string rule = "RFC 6585 §5: 431 for header fields beyond the limit";
    table.refused(431, "limit-headers-65", withHeaders(numberedHeaders(64)), rule + ", Host and 64 more");
    table.refused(431, "limit-headers-500", withHeaders(numberedHeaders(500)), rule);
    table.refused(431, "limit-header-value", withHeaders("X-A: " + std::string(5000, 'v') + "\r\n"), rule);
    table.refused(431, "limit-header-name", withHeaders(std::string(5000, 'n') + ": v\r\n"), rule);
    table.refused(431, "limit-header-blanks", withHeaders("X-A:" + std::string(5000, ' ') + "v\r\n"),
                  rule + "; white space counts");
    table.refused(431, "limit-header-bytes-together",
                  withHeaders(repeated(40, "X-A: " + std::string(120, 'v') + "\r\n")), rule);
    table.refused(431, "limit-header-never-ends", getRoot() + host() + "X-A: " + std::string(50000, 'v'),
                  rule);
}

void addContentLength(Table& table) {
    const std::string twice =
        "RFC 9112 §6.3 item 5: lists of equal lengths may be taken, and are refused here";
    table.bad("length-twice-differing", withFraming("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
              "RFC 9112 §6.3 item 5: differing lengths are unrecoverable");
    table.bad("length-twice-equal", withFraming("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
              twice);
    table.bad("length-twice-zero", withFraming("Content-Length: 0\r\nContent-Length: 0\r\n", ""), twice);
    table.bad("length-zero-then-more", withFraming("Content-Length: 0\r\nContent-Length: 47\r\n", ""),
              "RFC 9112 §6.3 item 5: differing lengths are unrecoverable");
    table.bad("length-twice-apart-other-case",
              withFraming("Content-Length: 5\r\nX-A: b\r\ncontent-length: 6\r\n", "hello"),
              "RFC 9112 §6.3 item 5: differing lengths are unrecoverable");
    table.bad("length-list-equal", withFraming("Content-Length: 5, 5\r\n", "hello"), twice);
    table.bad("length-list-differing", withFraming("Content-Length: 5, 6\r\n", "hello"),
              "RFC 9112 §6.3 item 5: differing lengths are unrecoverable");
    table.bad("length-list-empty-member", withFraming("Content-Length: 5,\r\n", "hello"), twice);
    table.bad("length-list-begins-empty", withFraming("Content-Length: ,5\r\n", "hello"), twice);

    const std::string digits =
        "RFC 9110 §8.6: Content-Length is 1*DIGIT; RFC 9112 §6.3 item 5: else 400 and close";
    table.bad("length-empty", withFraming("Content-Length:\r\n", ""), digits);
    table.bad("length-blank", withFraming("Content-Length:   \r\n", ""), digits);
    table.bad("length-plus", withFraming("Content-Length: +5\r\n", "hello"), digits);
    table.bad("length-minus", withFraming("Content-Length: -5\r\n", "hello"), digits);
    table.bad("length-minus-zero", withFraming("Content-Length: -0\r\n", ""), digits);
    table.bad("length-hex", withFraming("Content-Length: 0x5\r\n", "hello"), digits);
    table.bad("length-hex-digit", withFraming("Content-Length: a\r\n", "hellohello"), digits);
    table.bad("length-fraction", withFraming("Content-Length: 5.0\r\n", "hello"), digits);
    table.bad("length-exponent", withFraming("Content-Length: 5e0\r\n", "hello"), digits);
    table.bad("length-space-inside", withFraming("Content-Length: 1 5\r\n", "hello"), digits);
    table.bad("length-tab-inside", withFraming("Content-Length: 1\t5\r\n", "hello"), digits);
    table.bad("length-underscore", withFraming("Content-Length: 1_0\r\n", "hellohello"), digits);
    table.bad("length-parameter", withFraming("Content-Length: 5;x=y\r\n", "hello"), digits);
    table.bad("length-quoted", withFraming("Content-Length: \"5\"\r\n", "hello"), digits);
    table.bad("length-word", withFraming("Content-Length: five\r\n", "hello"), digits);
    table.bad("length-nul-behind", withFraming("Content-Length: 5" + byte(0) + "\r\n", "hello"), digits);
    table.bad("length-vertical-tab-before", withFraming("Content-Length: " + byte(0x0B) + "5\r\n", "hello"),
              digits);
    table.bad("length-not-ascii-digit", withFraming("Content-Length: \xD9\xA5\r\n", "hello"), digits);
    table.bad("length-overflows-64-bits", withFraming("Content-Length: 18446744073709551616\r\n", "hello"),
              "RFC 9110 §8.6: anticipate large numbers; what 64 bits cannot hold is refused");
    table.bad("length-overflows-to-five", withFraming("Content-Length: 18446744073709551621\r\n", "hello"),
              "RFC 9110 §8.6: 2^64 + 5 must not become 5");

    const std::string tab =
        "RFC 9112 §5.1 takes HTAB off a value, other readers only spaces: no length, or no coding, to them";
    table.bad("length-tab-before", withFraming("Content-Length:\t5\r\n", "hello"), tab);
    table.bad("length-space-and-tab-before", withFraming("Content-Length: \t5\r\n", "hello"), tab);
    table.bad("length-tab-behind", withFraming("Content-Length: 5\t\r\n", "hello"), tab);
    table.bad("length-folded", withFraming("Content-Length:\r\n 5\r\n", "hello"),
              "CVE-2024-27982: llhttp, strict too, reads a length from the folded line");
    table.bad("length-folded-tab", withFraming("Content-Length:\r\n\t5\r\n", "hello"),
              "CVE-2024-27982: llhttp, strict too, reads a length from the folded line");
    table.bad("length-continued", withFraming("Content-Length: 4\r\n 7\r\n", ""),
              "RFC 9112 §5.2: a folded line is refused with 400");
    table.bad("length-space-before-colon", withFraming("Content-Length : 47\r\n", ""),
              "RFC 9112 §5.1: 400 for white space between name and colon");
    table.bad("length-tab-before-colon", withFraming("Content-Length\t: 47\r\n", ""),
              "RFC 9112 §5.1: 400 for white space between name and colon");
    table.bad("length-behind-bare-cr", withFraming("X:\rContent-Length: 47\r\n", ""),
              "CVE-2023-30589: a header behind a bare CR is none");
    table.bad("length-behind-bare-lf", withFraming("X: y\nContent-Length: 47\r\n", ""),
              "RFC 9112 §2.2: a header behind a bare LF is none");
    table.bad("length-space-before-line", postEcho() + " Content-Length: 47\r\n" + host() + "\r\n" + next(),
              "CVE-2024-27982: white space before the first header hides it from some readers");

    const std::string large = "RFC 9110 §15.5.14: 413 for a body beyond the limit, before it comes";
    table.refused(413, "length-over-limit", postEcho() + host() + "Content-Length: 65537\r\n\r\n", large);
    table.refused(413, "length-over-limit-with-body",
                  postEcho() + host() + "Content-Length: 65537\r\n\r\n" + std::string(kBodyLimit + 1, 'b'),
                  large);
    table.refused(413, "length-2-to-the-31", postEcho() + host() + "Content-Length: 2147483648\r\n\r\n",
                  large);
    table.refused(413, "length-2-to-the-32-and-5",
                  postEcho() + host() + "Content-Length: 4294967301\r\n\r\nhello",
                  large + "; 2^32 + 5 must not become 5");
    table.refused(413, "length-2-to-the-63",
                  postEcho() + host() + "Content-Length: 9223372036854775808\r\n\r\n", large);
    table.refused(413, "length-largest-64-bits",
                  postEcho() + host() + "Content-Length: 18446744073709551615\r\n\r\n", large);
    table.refused(413, "length-over-limit-expecting-100",
                  postEcho() + host() + "Expect: 100-continue\r\nContent-Length: 65537\r\n\r\n",
                  "RFC 9110 §10.1.1: a final status at once instead of 100");
    table.answeredThenClosed(
        {200, 501}, "length-shorter-than-body",
        postEcho() + host() + "Content-Length: 3\r\n\r\nhello" + next(),
        "RFC 9112 §6.3 item 6: three bytes are the body; the next request begins with \"loGET\"");
}

void addTransferEncoding(Table& table) {
    const std::string both = "RFC 9112 §6.1, §6.3 item 3: Content-Length with Transfer-Encoding is refused";
    table.bad("smuggle-cl-te",
              withFraming("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nX"), both);
    table.bad("smuggle-te-cl",
              withFraming("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                          "2f\r\n" + next() + "\r\n0\r\n\r\n"),
              both);
    table.bad("smuggle-cl-zero-te",
              withFraming("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), both);
    table.bad("smuggle-cl-te-in-http10",
              "POST /echo HTTP/1.0\r\n" + host() +
                  "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next(),
              both);
    table.bad("smuggle-cl-te-identity",
              withFraming("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", "hello"), both);
    table.bad("smuggle-cl-te-empty", withFraming("Content-Length: 5\r\nTransfer-Encoding:\r\n", "hello"),
              both + "; llhttp, strict too, does not see an empty Transfer-Encoding");
    table.bad("smuggle-te-empty-cl", withFraming("Transfer-Encoding: \r\nContent-Length: 5\r\n", "hello"),
              both + "; llhttp, strict too, does not see an empty Transfer-Encoding");
    table.bad("coding-in-http10",
              "POST /echo HTTP/1.0\r\n" + host() + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next(),
              "RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0 is faulty framing");
    table.bad("coding-in-http10-keep-alive",
              "POST /echo HTTP/1.0\r\n" + host() +
                  "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next(),
              "RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0 is faulty framing");

    const std::string last = "RFC 9112 §6.3 item 4: 400 and close if chunked is not the final coding";
    const std::string empty = "0\r\n\r\n";
    table.bad("coding-empty", withFraming("Transfer-Encoding:\r\n", ""),
              last + "; llhttp, strict too, does not see it (its pull request 874)");
    table.bad("coding-identity", withFraming("Transfer-Encoding: identity\r\n", ""), last);
    table.bad("coding-gzip", withFraming("Transfer-Encoding: gzip\r\n", ""), last);
    table.bad("coding-chunked-then-gzip", withFraming("Transfer-Encoding: chunked, gzip\r\n", empty), last);
    table.bad("coding-chunked-then-identity", withFraming("Transfer-Encoding: chunked, identity\r\n", empty),
              last);
    table.bad("coding-x-before-chunked", withFraming("Transfer-Encoding: xchunked\r\n", empty), last);
    table.bad("coding-x-behind-chunked", withFraming("Transfer-Encoding: chunkedx\r\n", empty), last);
    table.bad("coding-two-words", withFraming("Transfer-Encoding: x chunked\r\n", empty), last);
    table.bad("coding-chunked-word-behind", withFraming("Transfer-Encoding: chunked x\r\n", empty), last);
    table.bad("coding-split", withFraming("Transfer-Encoding: chun ked\r\n", empty), last);
    table.bad("coding-quoted", withFraming("Transfer-Encoding: \"chunked\"\r\n", empty), last);
    table.bad("coding-apostrophes", withFraming("Transfer-Encoding: 'chunked'\r\n", empty), last);
    table.bad("coding-bracketed", withFraming("Transfer-Encoding: [chunked]\r\n", empty), last);
    table.bad("coding-colon-before", withFraming("Transfer-Encoding:: chunked\r\n", empty), last);
    table.bad("coding-semicolon-before", withFraming("Transfer-Encoding: ;chunked\r\n", empty), last);
    table.bad("coding-semicolon-between", withFraming("Transfer-Encoding: gzip;chunked\r\n", empty), last);
    table.bad("coding-parameter", withFraming("Transfer-Encoding: chunked;q=1\r\n", empty),
              "RFC 9112 §7.1: chunked has no parameters; their presence is an error");
    table.bad("coding-trailing-comma", withFraming("Transfer-Encoding: chunked,\r\n", empty),
              "RFC 9110 §5.6.1 wants empty members ignored; here they hide a coding from other readers");
    table.bad("coding-leading-comma", withFraming("Transfer-Encoding: ,chunked\r\n", empty),
              "RFC 9110 §5.6.1 wants empty members ignored; here they hide a coding from other readers");
    table.bad("coding-chunked-twice", withFraming("Transfer-Encoding: chunked, chunked\r\n", empty),
              "RFC 9112 §6.1: chunked is not applied more than once");
    table.bad("coding-chunked-around-another",
              withFraming("Transfer-Encoding: chunked, gzip, chunked\r\n", empty),
              "RFC 9112 §6.1: chunked is not applied more than once");
    table.refused(501, "coding-gzip-then-chunked", withFraming("Transfer-Encoding: gzip, chunked\r\n", empty),
                  "RFC 9112 §6.1: 501 for a coding that is not understood");
    table.refused(501, "coding-identity-then-chunked",
                  withFraming("Transfer-Encoding: identity, chunked\r\n", empty),
                  "RFC 9112 §6.1: 501 for a coding that is not understood; identity is none since RFC 7230");
    table.refused(501, "coding-unknown-then-chunked",
                  withFraming("Transfer-Encoding: xchunked ,  chunked\r\n", empty),
                  "RFC 9112 §6.1: 501 for a coding that is not understood");

    const std::string lines =
        "RFC 9112 §6.3: two lines that readers may join or choose from, like two Content-Lengths";
    table.bad("coding-two-lines-equal",
              withFraming("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", empty), lines);
    table.bad("coding-two-lines-identity-last",
              withFraming("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", empty), lines);
    table.bad("coding-two-lines-x-last",
              withFraming("Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n", empty), lines);
    table.bad("coding-two-lines-chunked-last",
              withFraming("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", empty), lines);
    table.bad("coding-two-lines-first-empty",
              withFraming("Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n", empty), lines);

    const std::string hidden =
        "RFC 9112 §11.2: a Transfer-Encoding that one reader sees and another does not";
    table.bad("smuggle-te-space-before-colon", withFraming("Transfer-Encoding : chunked\r\n", empty), hidden);
    table.bad("smuggle-te-tab-before-colon", withFraming("Transfer-Encoding\t: chunked\r\n", empty), hidden);
    table.bad("smuggle-te-nul-before-colon",
              withFraming("Transfer-Encoding" + byte(0) + ": chunked\r\n", empty), hidden);
    table.bad("smuggle-te-space-in-name", withFraming("Transfer Encoding: chunked\r\n", empty), hidden);
    table.bad("smuggle-te-space-before-name", withFraming("X: y\r\n Transfer-Encoding: chunked\r\n", empty),
              hidden);
    table.bad("smuggle-te-first-line-after-space",
              postEcho() + " Transfer-Encoding: chunked\r\n" + host() + "\r\n" + empty + next(), hidden);
    table.bad("smuggle-te-vertical-tab-behind",
              withFraming("Transfer-Encoding: chunked" + byte(0x0B) + "\r\n", empty), hidden);
    table.bad("smuggle-te-vertical-tab-before",
              withFraming("Transfer-Encoding: " + byte(0x0B) + "chunked\r\n", empty), hidden);
    table.bad("smuggle-te-form-feed-before",
              withFraming("Transfer-Encoding: " + byte(0x0C) + "chunked\r\n", empty), hidden);
    table.bad("smuggle-te-nul-before", withFraming("Transfer-Encoding: " + byte(0) + "chunked\r\n", empty),
              hidden);
    table.bad("smuggle-te-nul-behind", withFraming("Transfer-Encoding: chunked" + byte(0) + "\r\n", empty),
              hidden);
    table.bad("smuggle-te-not-ascii-behind", withFraming("Transfer-Encoding: chunked\xA0\r\n", empty),
              hidden);
    table.bad("smuggle-te-behind-bare-lf", withFraming("X: y\nTransfer-Encoding: chunked\r\n", empty),
              hidden);
    table.bad("smuggle-te-behind-bare-cr", withFraming("X: y\rTransfer-Encoding: chunked\r\n", empty),
              hidden);
    table.bad("smuggle-te-behind-bare-cr-empty-value",
              withFraming("X:\rTransfer-Encoding: chunked\r\n", empty),
              "CVE-2023-30589: llhttp not built strict sees a header behind the bare CR");
    table.bad("smuggle-te-behind-bare-cr-and-letter",
              withFraming("X: \rxTransfer-Encoding: chunked\r\n", empty),
              "CVE-2023-30589: llhttp not built strict swallows the letter and sees a header");
    table.bad("smuggle-te-tab-before", withFraming("Transfer-Encoding:\tchunked\r\n", empty),
              "RFC 9112 §5.1 takes HTAB off a value, other readers only spaces: no coding to them");
    table.bad("smuggle-te-tab-behind", withFraming("Transfer-Encoding: chunked\t\r\n", empty), hidden);
    table.bad("smuggle-te-tab-in-list", withFraming("Transfer-Encoding: gzip,\tchunked\r\n", empty), hidden);
    table.bad("smuggle-te-cr-before-value", withFraming("Transfer-Encoding:\rchunked\r\n", empty), hidden);
    table.bad("smuggle-te-folded", withFraming("Transfer-Encoding:\r\n chunked\r\n", empty),
              "CVE-2022-32215: the value on a folded line");
    table.bad("smuggle-te-folded-tab", withFraming("Transfer-Encoding:\r\n\tchunked\r\n", empty),
              "CVE-2022-32215: the value on a folded line");
    table.bad("smuggle-te-continued", withFraming("Transfer-Encoding: chunked\r\n , identity\r\n", empty),
              "CVE-2022-32213: a folded line that changes the coding");
    table.bad("smuggle-te-continued-word", withFraming("Transfer-Encoding: chunked\r\n abc\r\n", empty),
              "CVE-2022-32213: a folded line that changes the coding");
    table.bad("smuggle-te-continued-blank", withFraming("Transfer-Encoding: chunked\r\n \r\n", empty),
              "RFC 9112 §5.2: a folded line is refused with 400");
    table.bad("smuggle-te-cut-in-two", withFraming("Transfer-Encoding: chun\r\n ked\r\n", empty),
              "CVE-2022-32215: the value on a folded line");
    table.bad("smuggle-te-behind-empty-name", withFraming(": x\r\nTransfer-Encoding: chunked\r\n", empty),
              "RFC 9110 §5.1: an empty field name, which other servers took for the end of the head");
}

void addChunks(Table& table) {
    const std::string size = "RFC 9112 §7.1: chunk-size is 1*HEXDIG";
    const std::string end = "0\r\n\r\n";
    table.bad("chunk-size-empty", withChunks("\r\nhello\r\n" + end), size);
    table.bad("chunk-size-only-extension", withChunks(";a=b\r\nhello\r\n" + end), size);
    table.bad("chunk-size-minus", withChunks("-5\r\nhello\r\n" + end), size);
    table.bad("chunk-size-plus", withChunks("+5\r\nhello\r\n" + end), size);
    table.bad("chunk-size-0x", withChunks("0x5\r\nhello\r\n" + end), size);
    table.bad("chunk-size-not-hex", withChunks("g\r\nhello\r\n" + end), size);
    table.bad("chunk-size-hex-suffix", withChunks("5h\r\nhello\r\n" + end), size);
    table.bad("chunk-size-underscore", withChunks("0_5\r\nhello\r\n" + end), size);
    table.bad("chunk-size-comma", withChunks("5,5\r\nhello\r\n" + end), size);
    table.bad("chunk-size-fraction", withChunks("5.0\r\nhello\r\n" + end), size);
    table.bad("chunk-size-space-before", withChunks(" 5\r\nhello\r\n" + end), size);
    table.bad("chunk-size-tab-before", withChunks("\t5\r\nhello\r\n" + end), size);
    table.bad("chunk-size-space-behind", withChunks("5 \r\nhello\r\n" + end), size);
    table.bad("chunk-size-tab-behind", withChunks("5\t\r\nhello\r\n" + end), size);
    table.bad("chunk-size-space-inside", withChunks("0 5\r\nhello\r\n" + end), size);
    table.bad("chunk-size-nul-behind", withChunks("5" + byte(0) + "\r\nhello\r\n" + end), size);
    table.bad("chunk-size-last-minus-zero", withChunks("5\r\nhello\r\n-0\r\n\r\n"), size);
    table.bad("chunk-size-last-space-behind", withChunks("5\r\nhello\r\n0 \r\n\r\n"), size);

    const std::string overflow =
        "RFC 9112 §7.1: anticipate large numerals; what 64 bits cannot hold is refused";
    table.bad("chunk-size-overflows-64-bits", withChunks("10000000000000000\r\nhello\r\n" + end), overflow);
    table.bad("chunk-size-overflows-to-five", withChunks("10000000000000005\r\nhello\r\n" + end), overflow);
    table.bad("chunk-size-overflows-far", withChunks(std::string(32, 'F') + "\r\nhello\r\n" + end), overflow);
    const std::string large = "RFC 9110 §15.5.14: 413 for a body beyond the limit";
    table.refused(413, "chunk-size-largest-64-bits", withChunks("FFFFFFFFFFFFFFFF\r\nhello\r\n" + end),
                  large + "; the size is in order, so no 400");
    table.refused(413, "chunk-size-2-to-the-63", withChunks("8000000000000000\r\nhello\r\n" + end), large);
    table.refused(413, "chunk-size-2-to-the-32-and-5", withChunks("100000005\r\nhello\r\n" + end),
                  large + "; 2^32 + 5 must not become 5");
    table.refused(413, "chunk-size-over-limit",
                  withChunks("10001\r\n" + std::string(kBodyLimit + 1, 'b') + "\r\n" + end), large);
    table.refused(413, "chunks-over-limit-together",
                  withChunks("10000\r\n" + std::string(kBodyLimit, 'b') + "\r\n1\r\nb\r\n" + end), large);
    table.refused(413, "chunks-over-limit-many",
                  withChunks(repeated(1100, "40\r\n" + std::string(64, 'b') + "\r\n") + end), large);
    table.refused(413, "chunk-sizes-overflow-together",
                  withChunks("5\r\nhello\r\nFFFFFFFFFFFFFFFB\r\nhello\r\n" + end),
                  large + "; the sum must not wrap to 0");

    const std::string line = "RFC 9112 §7.1: CRLF ends the size line and the data";
    table.bad("chunk-size-bare-lf", withChunks("5\nhello\r\n" + end), line);
    table.bad("chunk-size-bare-cr", withChunks("5\rhello\r\n" + end), line);
    table.bad("chunk-size-cr-and-letter", withChunks("5\rXhello\r\n" + end),
              line + "; llhttp not built strict takes any byte after CR");
    table.bad("chunk-size-cr-cr-lf", withChunks("5\r\r\nhello\r\n" + end), line);
    table.bad("chunk-data-bare-lf", withChunks("5\r\nhello\n" + end), line);
    table.bad("chunk-data-bare-cr", withChunks("5\r\nhello\r" + end), line);
    table.bad("chunk-data-no-crlf", withChunks("5\r\nhello" + end), line);
    table.bad("chunk-data-two-letters-for-crlf", withChunks("5\r\nhelloXX" + end),
              line + "; llhttp not built strict skips any two bytes");
    table.bad("chunk-data-lf-cr", withChunks("5\r\nhello\n\r" + end), line);
    table.bad("chunk-data-longer-than-size", withChunks("3\r\nhello\r\n" + end), line);
    table.bad("chunk-data-shorter-than-size", withChunks("8\r\nhello\r\n" + end),
              line + "; the last chunk is eaten as data");
    table.bad("chunk-two-empty-lines-for-size", withChunks("5\r\nhello\r\n\r\n" + end), size);
    table.bad("chunk-last-bare-lf", withChunks("5\r\nhello\r\n0\n\r\n"), line);
    table.bad("chunk-last-cr-and-letter", withChunks("5\r\nhello\r\n0\rX\r\n"), line);
    table.bad("chunk-end-bare-lf", withChunks("5\r\nhello\r\n0\r\n\n" + next()),
              line + "; llhttp, strict too, ends the body here");
    table.bad("chunk-end-cr-and-letter", withChunks("5\r\nhello\r\n0\r\n\rX" + next()),
              "CVE-2025-23167: llhttp not built strict takes CR and any byte for the end");
    table.bad("chunk-end-missing", withChunks("5\r\nhello\r\n0\r\n" + next()),
              "RFC 9112 §7.1.2: the next request line is no trailer");
}

void addChunkExtensions(Table& table) {
    const std::string end = "\r\nhello\r\n0\r\n\r\n";
    const std::string grammar = "RFC 9112 §7.1.1: \";\" token [ \"=\" ( token / quoted-string ) ]";
    table.bad("extension-only-semicolon", withChunks("5;" + end), grammar);
    table.bad("extension-trailing-semicolon", withChunks("5;a=b;" + end), grammar + "; llhttp takes it");
    table.bad("extension-empty-name", withChunks("5;=b" + end), grammar + "; llhttp takes it");
    table.bad("extension-two-semicolons", withChunks("5;;a" + end), grammar + "; llhttp takes it");
    table.bad("extension-empty-value", withChunks("5;a=" + end), grammar + "; llhttp takes it");
    table.bad("extension-two-equals", withChunks("5;a=b=c" + end), grammar);
    table.bad("extension-name-not-a-token", withChunks("5;a/b" + end), grammar);
    table.bad("extension-value-half-quoted", withChunks("5;a=b\"c\"" + end), grammar + "; llhttp takes it");
    table.bad("extension-quote-never-closed", withChunks("5;a=\"b" + end), grammar);
    table.bad("extension-text-behind-quote", withChunks("5;a=\"b\"c" + end), grammar);

    const std::string control = "RFC 9112 §7.1.1: no control bytes in an extension";
    table.bad("extension-nul", withChunks("5;a" + byte(0) + end), control);
    table.bad("extension-control-byte", withChunks("5;a=" + byte(0x01) + end), control);
    table.bad("extension-quoted-nul", withChunks("5;a=\"" + byte(0) + "\"" + end), control);
    table.bad("extension-quoted-del", withChunks("5;a=\"" + byte(0x7F) + "\"" + end),
              control + "; llhttp takes DEL");
    table.bad("extension-bare-lf", withChunks("5;\nhello\r\n0\r\n\r\n"),
              "RFC 9112 §7.1: an LF that ends the line for some readers only (CVE-2025-55315 elsewhere)");
    table.bad("extension-name-bare-lf", withChunks("5;a\nhello\r\n0\r\n\r\n"),
              "RFC 9112 §7.1: an LF that ends the line for some readers only");
    table.bad("extension-value-lf-inside", withChunks("5;a=b\nc" + end),
              "RFC 9112 §7.1: an LF that ends the line for some readers only");
    table.bad("extension-quoted-lf", withChunks("5;a=\"b\nc\"" + end),
              "RFC 9112 §7.1: an LF that ends the line for some readers only");
    table.bad("extension-bare-cr", withChunks("5;a\rb" + end),
              "RFC 9112 §2.2: a bare CR makes the element invalid; llhttp not built strict takes it for a "
              "line end");
    table.bad("extension-value-bare-cr", withChunks("5;a=b\rc" + end),
              "RFC 9112 §2.2: a bare CR makes the element invalid; llhttp not built strict takes it for a "
              "line end");
    table.bad("extension-quoted-crlf", withChunks("5;a=\"b\r\nc\"" + end),
              "RFC 9110 §5.6.4: no CRLF within a quoted-string");

    const std::string flood = "CVE-2024-22019, RFC 9112 §7.1.1: the length of extensions is limited";
    table.bad("extension-flood-value", withChunks("5;a=" + std::string(400, 'b') + end), flood);
    table.bad("extension-flood-name", withChunks("5;" + std::string(400, 'a') + end), flood);
    table.bad("extension-flood-number", withChunks("5" + repeated(200, ";a") + end), flood);
    table.bad("extension-flood-quoted", withChunks("5;a=\"" + std::string(400, ' ') + "\"" + end), flood);
    table.bad("extension-flood-never-ends", withChunks("5;a=" + std::string(100000, 'b')), flood);
    table.bad("extension-flood-in-last-chunk",
              withChunks("5\r\nhello\r\n0;a=" + std::string(400, 'b') + "\r\n\r\n"), flood);
    table.bad("extension-flood-over-many-chunks",
              withChunks(repeated(100, "1;a=" + std::string(200, 'b') + "\r\nx\r\n") + "0\r\n\r\n"), flood);
    table.bad("chunk-size-flood-of-zeros", withChunks(std::string(400, '0') + "5" + end),
              "RFC 9112 §7.1: 1*HEXDIG, within the limit of a chunk-size line");
}

void addTrailers(Table& table) {
    const std::string line = "RFC 9112 §7.1.2: trailers are field lines and under the same rules";
    table.bad("trailer-bare-lf", withTrailers("X-A: b\n"), line);
    table.bad("trailer-bare-cr", withTrailers("X-A: b\rX-B: c\r\n"), line);
    table.bad("trailer-empty-value-bare-cr", withTrailers("X-A:\rX-B: c\r\n"), line);
    table.bad("trailer-end-bare-lf", withChunks("5\r\nhello\r\n0\r\nX-A: b\r\n\n" + next()),
              line + "; llhttp, strict too, ends the body here");
    table.bad("trailer-end-cr-and-letter", withChunks("5\r\nhello\r\n0\r\nX-A: b\r\n\rX" + next()), line);
    table.bad("trailer-fold", withTrailers("X-A: b\r\n c\r\n"), line);
    table.bad("trailer-fold-of-empty-value", withTrailers("X-A:\r\n b\r\n"), line);
    table.bad("trailer-begins-with-space", withTrailers(" X-A: b\r\n"), line);
    table.bad("trailer-without-colon", withTrailers("X-A\r\n"), line);
    table.bad("trailer-empty-name", withTrailers(": b\r\n"), line + "; llhttp takes it");
    table.bad("trailer-space-before-colon", withTrailers("X-A : b\r\n"), line);
    table.bad("trailer-name-not-a-token", withTrailers("X@A: b\r\n"), line);
    table.bad("trailer-value-nul", withTrailers("X-A: " + byte(0) + "\r\n"), line);
    table.bad("trailer-value-del", withTrailers("X-A: " + byte(0x7F) + "\r\n"), line);

    const std::string framing =
        "RFC 9110 §6.5.1: fields for framing and routing must not come as trailers; who merges them is "
        "misled";
    table.bad("trailer-content-length", withTrailers("Content-Length: 47\r\n") + next(), framing);
    table.bad("trailer-transfer-encoding", withTrailers("Transfer-Encoding: chunked\r\n") + next(), framing);
    table.bad("trailer-connection", withTrailers("Connection: close\r\n") + next(), framing);
    table.bad("trailer-host", withTrailers("Host: b.example\r\n") + next(), framing);

    const std::string limit = "RFC 6585 §5: 431, as trailers have the limits of header lines";
    table.refused(431, "limit-trailers", withTrailers(numberedHeaders(70)), limit);
    table.refused(431, "limit-trailer-value", withTrailers("X-A: " + std::string(5000, 'v') + "\r\n"), limit);
    table.refused(431, "limit-trailer-never-ends", withChunks("0\r\nX-A: " + std::string(50000, 'v')), limit);
}

void addExpect(Table& table) {
    const std::string rule =
        "RFC 9110 §10.1.1: 417 for an expectation that is not 100-continue; a body may follow, so close";
    table.refused(417, "expect-unknown", withHeaders("Expect: 200-ok\r\n"), rule);
    table.refused(417, "expect-unknown-parameter", withHeaders("Expect: 100-continue;a=b\r\n"), rule);
    table.refused(417, "expect-unknown-in-list", withHeaders("Expect: 100-continue, more\r\n"), rule);
    table.refused(417, "expect-known-and-unknown-line",
                  withHeaders("Expect: 100-continue\r\nExpect: more\r\n"), rule);
    table.refused(417, "expect-quoted", withHeaders("Expect: \"100-continue\"\r\n"), rule);
    table.refused(417, "expect-unknown-with-body",
                  postEcho() + host() + "Expect: magic\r\nContent-Length: 47\r\n\r\n" + next(), rule);
}

void addSequences(Table& table) {
    const std::string after = "RFC 9112 §9.3.2: answered in order; what follows the refused one is not";
    table.answeredThenClosed({200, 400}, "sequence-good-then-bad",
                             next() + withHeaders("X A: b\r\n") + next(), after);
    table.answeredThenClosed({200, 501}, "sequence-good-then-unknown-method",
                             next() + withLine("BREW / HTTP/1.1") + next(), after);
    table.answeredThenClosed(
        {200, 400}, "sequence-good-then-smuggling",
        next() + withFraming("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), after);
    table.answeredThenClosed(
        {200, 400}, "sequence-body-then-garbage",
        postEcho() + host() + "Content-Length: 5\r\n\r\nhello" + byte(0) + byte(1) + byte(2) + next(), after);
    table.answeredThenClosed({200, 400}, "sequence-chunks-then-second-end",
                             withChunks("5\r\nhello\r\n0\r\n\r\n0\r\n\r\n"),
                             "RFC 9112 §3: what follows the body is a request line; \"0\" is none");
}

std::vector<HostileRequest> makeHostileRequests() {
    Table table;
    addBeforeRequestLine(table);
    addMethod(table);
    addRequestLine(table);
    addVersion(table);
    addTarget(table);
    addAuthority(table);
    addHost(table);
    addHeaderLines(table);
    addHeaderLimits(table);
    addContentLength(table);
    addTransferEncoding(table);
    addChunks(table);
    addChunkExtensions(table);
    addTrailers(table);
    addExpect(table);
    addSequences(table);
    return table.take();
}

// --- To be answered ---

void addUnusualLines(Table& table) {
    table.good("ok-plain-get", getRoot() + host() + "\r\n", "RFC 9112 §2.1: the plainest request there is");
    table.good("ok-empty-line-first", "\r\n" + getRoot() + host() + "\r\n",
               "RFC 9112 §2.2: one empty line before the request line is ignored");
    table.goodTwice("ok-empty-line-behind-body",
                    postEcho() + host() + "Content-Length: 5\r\n\r\nhello\r\n" + next(),
                    "RFC 9112 §2.2: old clients send a CRLF that is not counted");
    table.good("ok-line-of-2000-bytes", withTarget("/hello/" + std::string(1980, 'a')),
               "RFC 9112 §3: within the limit");
    table.good("ok-version-1-2", withVersion("HTTP/1.2"),
               "RFC 9110 §6.2: a higher minor version is processed as the highest known");
    table.good("ok-version-1-9", withVersion("HTTP/1.9"),
               "RFC 9110 §6.2: a higher minor version is processed as the highest known");
    table.goodThenClose("ok-http10-without-host", "GET / HTTP/1.0\r\n\r\n",
                        "RFC 9112 §3.2, §9.3: HTTP/1.0 needs no Host and does not persist");
    table.goodThenClose("ok-http10-then-more", "GET / HTTP/1.0\r\n\r\n" + next(),
                        "RFC 9112 §9.3: what follows on a connection that does not persist is not answered");
    table.good("ok-http10-keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
               "RFC 9112 §9.3: HTTP/1.0 persists where it asks to");
    table.goodTwice(
        "ok-http10-keep-alive-twice",
        "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        "RFC 9112 §9.3: HTTP/1.0 persists where it asks to");
    table.goodThenClose("ok-http10-with-body", "POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
                        "RFC 9112 §6.3: Content-Length frames an HTTP/1.0 body");
    table.good("ok-method-with-hyphen", withLine("M-SEARCH /echo HTTP/1.1"),
               "RFC 9110 §9.1: a method is a token");
    table.good("ok-method-of-webdav", withLine("PROPFIND /echo HTTP/1.1"),
               "RFC 9110 §16.1: methods can be added");
    table.good("ok-options", withLine("OPTIONS /echo HTTP/1.1"), "RFC 9110 §9.3.7: OPTIONS of one resource");
    table.good("ok-delete-with-body", "DELETE /echo HTTP/1.1\r\n" + host() + "Content-Length: 5\r\n\r\nhello",
               "RFC 9112 §6: framing does not depend on the method");
    table.good("ok-get-with-body", "GET /echo HTTP/1.1\r\n" + host() + "Content-Length: 5\r\n\r\nhello",
               "RFC 9112 §6: framing does not depend on the method");
    table.good(
        "ok-get-with-chunks",
        "GET /echo HTTP/1.1\r\n" + host() + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "RFC 9112 §6: framing does not depend on the method");
}

void addUnusualTargets(Table& table) {
    table.good("ok-absolute-form", withTarget("http://example.com/hello/x"),
               "RFC 9112 §3.2.2: a server must accept absolute-form");
    table.good("ok-absolute-form-upper-case", withTarget("HTTP://EXAMPLE.COM/hello/x"),
               "RFC 9110 §4.2.3: scheme and host are case-insensitive");
    table.good("ok-absolute-form-no-path", withTarget("http://example.com"),
               "RFC 9110 §4.2.3: an empty path is \"/\"");
    table.good("ok-absolute-form-only-query", withTarget("http://example.com?a=b"),
               "RFC 9110 §4.2.3: an empty path is \"/\"");
    table.good("ok-absolute-form-ipv6", withTarget("http://[::1]:8080/"),
               "RFC 3986 §3.2.2: an IPv6 address stands in brackets");
    table.good("ok-absolute-form-other-host", withTarget("http://other.example/"),
               "RFC 9112 §3.2.2: Host is ignored then");
    table.good("ok-escapes", withTarget("/hello/%41%7a%C3%A9%20"), "RFC 3986 §2.1: escapes in either case");
    table.good("ok-escaped-percent", withTarget("/hello/%2541"), "RFC 3986 §2.4: decoded once");
    table.good("ok-escaped-slash", withTarget("/hello/a%2Fb"),
               "RFC 3986 §2.2: an escaped delimiter does not delimit");
    table.good("ok-sub-delims-in-path", withTarget("/hello/a;b=c,d!e$f&g'(h)*+i:j@k~l"),
               "RFC 3986 §3.3: pchar");
    table.good("ok-three-dots", withTarget("/hello/..."), "RFC 3986 §3.3: not a dot segment");
    table.good("ok-hidden-file", withTarget("/hello/.name"), "RFC 3986 §3.3: not a dot segment");
    table.good("ok-dots-inside", withTarget("/hello/a..b"), "RFC 3986 §3.3: not a dot segment");
    table.good("ok-query-empty", withTarget("/?"), "RFC 3986 §3.4: a query may be empty");
    table.good("ok-query-delims", withTarget("/?a=/../b&c=d?e:f@g,h;i+j"),
               "RFC 3986 §3.4: '/' and '?' are data in a query");
    table.good("ok-query-url", withTarget("/?to=http://example.com/"),
               "RFC 3986 §3.4: '/' and '?' are data in a query");
}

void addUnusualHosts(Table& table) {
    const std::string rule = "RFC 9110 §7.2: uri-host [ \":\" port ]";
    table.good("ok-host-with-port", withHost("example.com:8080"), rule);
    table.good("ok-host-empty-port", withHost("example.com:"), rule + "; a port is *DIGIT");
    table.good("ok-host-upper-case", withHost("EXAMPLE.COM"), rule);
    table.good("ok-host-trailing-dot", withHost("example.com."), rule);
    table.good("ok-host-underscore", withHost("my_host"), rule);
    table.good("ok-host-ipv4", withHost("127.0.0.1:80"), rule);
    table.good("ok-host-ipv6", withHost("[::1]"), rule);
    table.good("ok-host-ipv6-port", withHost("[2001:db8::ff00:42:8329]:65535"), rule);
    table.good("ok-host-ipv6-with-ipv4", withHost("[::ffff:192.0.2.1]"), rule);
    table.good("ok-host-blanks-around", withHost(" \t example.com \t "),
               "RFC 9112 §5.1: white space around a value is none of it");
    table.good("ok-host-last", getRoot() + "Accept: */*\r\nhost:example.com\r\n\r\n",
               "RFC 9110 §5.3: order does not matter");
}

void addUnusualHeaders(Table& table) {
    table.good("ok-header-no-space-behind-colon", withHeaders("X-A:b\r\n"),
               "RFC 9112 §5.1: white space around a value is optional");
    table.good("ok-header-blanks-around", withHeaders("X-A: \t b \t \r\n"),
               "RFC 9112 §5.1: white space around a value is optional");
    table.good("ok-header-empty-value", withHeaders("X-A:\r\nX-B: \t\r\n"),
               "RFC 9110 §5.5: a value may be empty");
    table.good("ok-header-name-all-tchars", withHeaders("!#$%&'*+-.^_`|~09azAZ: b\r\n"),
               "RFC 9110 §5.6.2: tchar");
    table.good("ok-header-name-one-byte", withHeaders("x: b\r\n"), "RFC 9110 §5.1: one byte is a name");
    table.good("ok-header-value-not-ascii", withHeaders("X-A: caf\xC3\xA9 \x80\xFF\r\n"),
               "RFC 9110 §5.5: obs-text is opaque data");
    table.good("ok-header-value-tab-inside", withHeaders("X-A: b\tc\r\n"),
               "RFC 9110 §5.5: HTAB may stand inside");
    table.good("ok-header-value-delimiters", withHeaders("X-A: :b: \"c, d\" (e; f=g) \\ { } [ ] <>\r\n"),
               "RFC 9110 §5.5: any visible character");
    table.good("ok-header-repeated", withHeaders("Accept: a/b\r\nAccept: c/d\r\nX-A: b\r\nX-A: b\r\n"),
               "RFC 9110 §5.3: lines of one name may repeat");
    table.good("ok-header-64-lines", withHeaders(numberedHeaders(63)),
               "RFC 6585 §5: at the limit, with Host");
    table.good("ok-header-3900-bytes", withHeaders("X-A: " + std::string(3870, 'v') + "\r\n"),
               "RFC 6585 §5: within the limit");
    table.good(
        "ok-header-like-special-one",
        withHeaders("Content-Lengths: x\r\nTransfer-Encodings: gzip\r\nConnections: close\r\nHosts: a b\r\n"),
        "RFC 9110 §5.1: other names, other fields");
    table.good("ok-header-underscore-for-hyphen",
               postEcho() + host() + "Content-Length: 5\r\nTransfer_Encoding: chunked\r\n\r\nhello",
               "RFC 9110 §5.1: '_' is not '-'; an unknown field is ignored");
    table.good("ok-te-without-connection", withHeaders("TE: trailers, chunked\r\n"),
               "RFC 9110 §10.1.4: TE speaks of the response");
    table.goodTwice("ok-proxy-connection-ignored", withHeaders("Proxy-Connection: close\r\n") + next(),
                    "RFC 9112 §C.2.2: no field of HTTP; llhttp takes it for Connection");
}

void addUnusualBodies(Table& table) {
    table.good("ok-post-without-body", "POST /post HTTP/1.1\r\n" + host() + "\r\n",
               "RFC 9112 §6.3 item 7: neither length nor coding is no body");
    table.goodTwice("ok-length-zero", postEcho() + host() + "Content-Length: 0\r\n\r\n" + next(),
                    "RFC 9110 §8.6: zero is a length");
    table.good("ok-length-leading-zeros", postEcho() + host() + "Content-Length: 0005\r\n\r\nhello",
               "RFC 9110 §8.6: 1*DIGIT, decimal");
    table.good("ok-length-spaces-around", postEcho() + host() + "Content-Length:   5  \r\n\r\nhello",
               "RFC 9112 §5.1: white space around a value is none of it");
    table.good("ok-length-at-limit",
               postEcho() + host() + "Content-Length: 65536\r\n\r\n" + std::string(kBodyLimit, 'b'),
               "RFC 9110 §15.5.14: at the limit");
    table.good("ok-body-is-a-request",
               postEcho() + host() + "Content-Length: " + std::to_string(next().size()) + "\r\n\r\n" + next(),
               "RFC 9112 §6.3 item 6: a body is a body, whatever it looks like");
    table.good("ok-body-binary",
               postEcho() + host() + "Content-Length: 8\r\n\r\n" + byte(0) + byte(0xFF) + "\r\n\r\n" +
                   byte(0x1A) + "\n",
               "RFC 9112 §6: *OCTET");
    table.goodTwice("ok-body-then-request", postEcho() + host() + "Content-Length: 5\r\n\r\nhello" + next(),
                    "RFC 9112 §9.3.2: pipelining");
    table.answered({200, 200, 200, 200, 200}, "ok-pipelined-five", repeated(5, next()),
                   "RFC 9112 §9.3.2: pipelining");
}

void addUnusualChunks(Table& table) {
    const std::string end = "0\r\n\r\n";
    const std::string size = "RFC 9112 §7.1: chunk-size is 1*HEXDIG in either case, leading zeros and all";
    table.good("ok-coding-upper-case",
               postEcho() + host() + "TRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n" + end,
               "RFC 9112 §7: coding names are case-insensitive");
    table.good("ok-coding-mixed-case",
               postEcho() + host() + "tRaNsFeR-eNcOdInG: cHuNkEd\r\n\r\n5\r\nhello\r\n" + end,
               "RFC 9112 §7: coding names are case-insensitive");
    table.good("ok-coding-no-space-before",
               postEcho() + host() + "Transfer-Encoding:chunked\r\n\r\n5\r\nhello\r\n" + end,
               "RFC 9112 §5.1: white space around a value is none of it");
    table.good("ok-coding-space-behind",
               postEcho() + host() + "Transfer-Encoding: chunked  \r\n\r\n5\r\nhello\r\n" + end,
               "RFC 9112 §5.1: white space around a value is none of it");
    table.good("ok-chunks-none", withChunks(end), "RFC 9112 §7.1: *chunk last-chunk");
    table.good("ok-chunk-size-upper-case", withChunks("1A\r\n" + std::string(26, 'b') + "\r\n" + end), size);
    table.good("ok-chunk-size-lower-case", withChunks("1a\r\n" + std::string(26, 'b') + "\r\n" + end), size);
    table.good("ok-chunk-size-leading-zeros", withChunks("00000000000000000005\r\nhello\r\n" + end), size);
    table.good("ok-chunk-last-many-zeros", withChunks("5\r\nhello\r\n000\r\n\r\n"),
               "RFC 9112 §7.1: last-chunk is 1*(\"0\")");
    table.good("ok-chunks-of-one-byte", withChunks(repeated(100, "1\r\nb\r\n") + end),
               "RFC 9112 §7.1: *chunk");
    table.good("ok-chunk-at-limit", withChunks("10000\r\n" + std::string(kBodyLimit, 'b') + "\r\n" + end),
               "RFC 9110 §15.5.14: at the limit");
    table.good("ok-chunks-at-limit-together",
               withChunks(repeated(2, "8000\r\n" + std::string(kBodyLimit / 2, 'b') + "\r\n") + end),
               "RFC 9110 §15.5.14: at the limit");
    table.good("ok-chunk-data-looks-like-the-end", withChunks("9\r\n\r\n0\r\n\r\n\r\n\r\n" + end),
               "RFC 9112 §7.1: chunk-data is counted octets");
    table.goodTwice("ok-chunks-then-request", withChunks("5\r\nhello\r\n" + end) + next(),
                    "RFC 9112 §9.3.2: pipelining");

    const std::string extension = "RFC 9112 §7.1.1: extensions that are not known are ignored";
    table.good("ok-extension-name", withChunks("5;a\r\nhello\r\n" + end), extension);
    table.good("ok-extension-value", withChunks("5;a=b\r\nhello\r\n" + end), extension);
    table.good("ok-extension-quoted", withChunks("5;a=\"b; c=d\"\r\nhello\r\n" + end), extension);
    table.good("ok-extension-quoted-tab", withChunks("5;a=\"b\tc\"\r\nhello\r\n" + end), extension);
    table.good("ok-extension-several", withChunks("5;a;b;c=\"d\";e=f\r\nhello\r\n" + end), extension);
    table.good("ok-extension-in-last-chunk", withChunks("5\r\nhello\r\n0;a=b\r\n\r\n"), extension);
    table.good("ok-extension-of-200-bytes",
               withChunks("5;a=" + std::string(200, 'b') + "\r\nhello\r\n" + end), extension);

    const std::string trailer = "RFC 9112 §7.1.2: trailers that are not known may be discarded";
    table.good("ok-trailer", withTrailers("X-Checksum: abc\r\n"), trailer);
    table.good("ok-trailer-blanks-around", withTrailers("X-A: \t b \t \r\nX-B:\r\n"), trailer);
    table.good("ok-trailer-not-announced",
               postEcho() + host() + "Trailer: X-B\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n\r\n",
               trailer);
    table.goodTwice("ok-trailers-ten-then-request", withTrailers(numberedHeaders(10)) + next(), trailer);
}

void addUnusualConnections(Table& table) {
    const std::string expect = "RFC 9110 §10.1.1: 100 (or the final status) where the body is wanted";
    table.good("ok-expect-continue",
               postEcho() + host() + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", expect);
    table.good("ok-expect-continue-other-case",
               postEcho() + host() + "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello",
               expect + "; case-insensitive");
    table.good("ok-expect-continue-chunked",
               postEcho() + host() +
                   "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
               expect);
    const std::string list =
        "RFC 9110 §10.1.1, §5.6.1: a list, on one line or on two, perhaps with empty members";
    const auto expecting = [](const char* lines) {
        return postEcho() + host() + lines + "Content-Length: 5\r\n\r\nhello";
    };
    table.good("ok-expect-continue-twice-on-a-line", expecting("Expect: 100-continue, 100-continue\r\n"),
               list);
    table.good("ok-expect-continue-on-two-lines",
               expecting("Expect: 100-continue\r\nExpect:100-continue\r\n"), list);
    table.good("ok-expect-empty-members", expecting("Expect: ,100-continue ,, 100-Continue,\r\n"), list);
    table.good("ok-expect-nothing", withHeaders("Expect:\r\n"), list);
    table.good("ok-expect-continue-without-body", withHeaders("Expect: 100-continue\r\n"), expect);
    table.goodThenClose("ok-expect-continue-in-http10",
                        "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
                        "RFC 9110 §10.1.1: ignored in HTTP/1.0");

    const std::string close = "RFC 9112 §9.3: close ends the connection, and what follows is not answered";
    table.goodThenClose("ok-close", withHeaders("Connection: close\r\n"), close);
    table.goodThenClose("ok-close-then-more", withHeaders("Connection: close\r\n") + next(), close);
    table.goodThenClose("ok-close-then-garbage", withHeaders("Connection: close\r\n") + "garbage", close);
    table.goodThenClose("ok-close-upper-case", withHeaders("CONNECTION: CLOSE\r\n"), close);
    table.goodThenClose("ok-close-in-list", withHeaders("Connection: foo, close ,bar\r\n"), close);
    table.goodThenClose("ok-close-and-keep-alive", withHeaders("Connection: close, keep-alive\r\n"), close);
    table.goodThenClose("ok-close-on-second-line",
                        withHeaders("Connection: keep-alive\r\nConnection: close\r\n"), close);
    table.goodThenClose("ok-close-tab-behind", withHeaders("Connection: close\t\r\n") + next(),
                        close + "; llhttp misses it (its pull request 866)");
    table.goodThenClose("ok-close-tab-before-comma", withHeaders("Connection: close\t, foo\r\n") + next(),
                        close + "; llhttp misses it");
    table.good("ok-closed-is-not-close", withHeaders("Connection: closed, unclose\r\n"),
               "RFC 9110 §7.6.1: options are whole tokens");

    const std::string upgrade = "RFC 9110 §7.8: a server may ignore Upgrade";
    table.goodTwice("ok-upgrade-ignored", withHeaders("Connection: upgrade\r\nUpgrade: foo/2\r\n") + next(),
                    upgrade + " and go on in HTTP/1.1; llhttp stops behind the head");
    table.goodTwice("ok-upgrade-with-body",
                    postEcho() + host() +
                        "Connection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 5\r\n\r\nhello" + next(),
                    upgrade + "; the body is one of HTTP/1.1");
    table.goodTwice("ok-upgrade-with-chunks",
                    postEcho() + host() +
                        "Connection: Upgrade\r\nUpgrade: foo\r\nTransfer-Encoding: "
                        "chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" +
                        next(),
                    upgrade + "; the body is one of HTTP/1.1");
    table.goodTwice("ok-upgrade-to-h2c",
                    withHeaders("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "
                                "AAMAAABkAARAAAAAAAIAAAAA\r\n") +
                        next(),
                    upgrade);
    table.goodTwice("ok-upgrade-without-connection", withHeaders("Upgrade: websocket\r\n") + next(),
                    "RFC 9110 §7.8: Upgrade counts only if Connection names it");
    table.goodTwice("ok-connection-upgrade-alone", withHeaders("Connection: upgrade\r\n") + next(),
                    "RFC 9110 §7.8: there is nothing to upgrade to");
    table.goodTwice("ok-upgrade-empty", withHeaders("Connection: upgrade\r\nUpgrade:\r\n") + next(),
                    "RFC 9110 §7.8: there is nothing to upgrade to");
    table.goodTwice("ok-upgrade-malformed",
                    withHeaders("Connection: upgrade\r\nUpgrade: /13, web socket/\r\n") + next(),
                    upgrade + ", most of all one that names no protocol");
    table.goodThenClose("ok-upgrade-in-http10",
                        "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n",
                        "RFC 9110 §7.8: ignored in HTTP/1.0");
}

std::vector<HostileRequest> makeUnusualButValidRequests() {
    Table table;
    addUnusualLines(table);
    addUnusualTargets(table);
    addUnusualHosts(table);
    addUnusualHeaders(table);
    addUnusualBodies(table);
    addUnusualChunks(table);
    addUnusualConnections(table);
    return table.take();
}

}  // namespace

const std::vector<HostileRequest>& hostileRequests() {
    static const std::vector<HostileRequest> rows = makeHostileRequests();
    return rows;
}

const std::vector<HostileRequest>& unusualButValidRequests() {
    static const std::vector<HostileRequest> rows = makeUnusualButValidRequests();
    return rows;
}

}  // namespace tnet
