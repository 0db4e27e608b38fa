// uri: request targets, authorities, paths and queries (RFC 3986, RFC 9112 §3.2), as pure functions.
//
//   "http://a.example:80/b%20c/d?x=1&y"
//           │          │        └─ query ─▶ QueryParams, queryParam
//           │          └─ path ─▶ RouteTree::match, hasDotSegments
//           └─ authority ─▶ isValidAuthority, as is the value of Host
//
// Nothing is normalized: what these functions return is what the peer wrote, still percent-encoded
// unless the comment says "decoded". They allocate only where they give back or fill a std::string.
//
// Threads: any.
// Lifetime: returned views point into the argument they were taken from.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "tnet/cpp20.h"

namespace tnet {

// --- Percent-encoding (RFC 3986 §2.1) ---

// What '+' means: itself in a path, a space in a query as HTML forms write it.
enum class PlusRule { Keep, Space };

// Decodes `in` and appends it. False if a '%' is not followed by two hexadecimal digits, or if a NUL
// would come out, for no name has one and whoever hands it on to C would see a shorter one; `appendTo`
// is then as it was. Decodes once: "%2541" becomes "%41". The result is any bytes, not always UTF-8,
// and never longer than `in`. `in` must not be a view of `appendTo`.
bool percentDecode(std::string_view in, std::string& appendTo, PlusRule plus);

// Everything but the unreserved characters of RFC 3986 §2.3 becomes %HH, '/' and '+' too: for one
// segment of a path, or one name or value of a query.
std::string percentEncode(std::string_view in);

// --- Request targets (RFC 9112 §3.2) ---

enum class TargetForm { Origin, Absolute, Authority, Asterisk };

struct RequestTarget {
    TargetForm form = TargetForm::Origin;
    std::string_view scheme;     // Absolute only: "http" or "https" in the peer's letter case
    std::string_view authority;  // Absolute and Authority: host[:port], satisfies isValidAuthority
    std::string_view path;       // Origin and Absolute: begins with '/'; a static "/" where Absolute has none
    std::string_view query;      // what follows '?'
    bool hasQuery = false;       // tells "/a?" from "/a"
};

// Nothing if `target` is not a form that the method may have: CONNECT takes authority-form with a port
// other than 0 and nothing else (RFC 9110 §9.3.6), "*" is for OPTIONS alone. Absolute-form must be http
// or https and name a host; userinfo is refused (RFC 9110 §4.2.4). Control bytes, space, DEL, '#' and
// bytes beyond ASCII are refused everywhere. Other characters that RFC 3986 wants encoded, such as '|'
// or '"', are let through, as browsers send them. Percent-escapes are not looked at here: whoever
// decodes them finds the malformed ones.
std::optional<RequestTarget> parseTarget(std::string_view target, bool isConnect, bool isOptions);

// --- Authorities (RFC 3986 §3.2) ---

// host[:port]. The host is as for isValidHost; the port is at most 65535 and may be empty ("host:").
// Userinfo is refused, and so is the empty text: RFC 9112 §3.2 has a client send an empty Host where
// its target has no authority; a server that allows it asks for that first.
bool isValidAuthority(std::string_view authority);

// A registered name, an IPv4 address (which looks like one), or "[...]" with an IPv6 address or an
// IPvFuture. Never empty (RFC 9110 §4.2.1), no zone, no malformed escape and no %00. ',' is refused
// though a sub-delim may stand in a name: joining two Host fields into one, as recipients may do with
// lists, gives "a,b", and then two parties can differ about which of the two is meant. Empty labels are
// refused (".a", "a..b", but not "a."): no name of the DNS has them, and ".." is a way out of a directory.
bool isValidHost(std::string_view host);

// --- Paths (RFC 3986 §3.3) ---

// Whether a segment of the path is "." or ".." once decoded. An escaped slash ends a segment here,
// too: who decodes the whole path before he looks for segments sees "a%2F..%2Fb" that way.
bool hasDotSegments(std::string_view path);

// --- Queries (application/x-www-form-urlencoded) ---

struct QueryParam {
    std::string_view name;   // } still encoded: for
    std::string_view value;  // } percentDecode with PlusRule::Space
};

// The "name=value" pieces of a query between '&'s, in order: for (const QueryParam& p : QueryParams(q)).
// Without '=' the value is empty; empty pieces are skipped.
class QueryParams {
public:
    class Iterator {
    public:
        const QueryParam& operator*() const { return m_param; }
        const QueryParam* operator->() const { return &m_param; }
        Iterator& operator++();
        bool operator==(const Iterator& other) const { return m_piece == other.m_piece; }

    private:
        friend class QueryParams;
        // At the first piece that is not empty at or after `from`.
        Iterator(std::string_view query, size_t from);
        void seek(size_t from);

        std::string_view m_query;
        size_t m_piece = 0;  // where the current piece begins; the query's size at the end
        size_t m_next = 0;   // where the one after it does
        QueryParam m_param;
    };

    explicit QueryParams(std::string_view query) : m_query(query) {}

    Iterator begin() const { return Iterator(m_query, 0); }
    Iterator end() const { return Iterator(m_query, m_query.size()); }

private:
    std::string_view m_query;
};

// The decoded value of the first parameter whose decoded name is `name`. Nothing if there is none, or if
// that value has a malformed escape. A name with a malformed escape is nobody's.
std::optional<std::string> queryParam(std::string_view query, std::string_view name);

}  // namespace tnet
