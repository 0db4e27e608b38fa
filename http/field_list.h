// field_list: takes the values of header fields apart: lists, their members, and the parameters of a member.
//
//     a;q=1, ,b;t="x,y"   ─ FieldList ──▶  a;q=1   b;t="x,y"
//     b;t="x,y"           ─ FieldMember ▶  b   with the parameter t: x,y
//
// Everything that reads a list reads it through here, so that three rules hold for all fields: the lines of one name
// are one list (RFC 9110 §5.3), empty members count for nothing (§5.6.1.2), and a separator inside a quoted string
// separates nothing (§5.6.4). A quoted string without an end takes the rest of its line; no token contains one.
//
// Pure: no I/O, nothing kept. What a call costs grows with the text it passes over, and with nothing else.
// Threads: any.
// Lifetime: returned views point into the text they were taken from.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "http/headers.h"

namespace tnet {

// The members of a list: for (FieldList list(value); const auto member = list.next();) ...
class FieldList {
public:
    // Of one line's value.
    explicit FieldList(std::string_view value) : m_rest(value), m_hasMore(true) {}
    // Of all lines of that name, in order. Both outlive it.
    FieldList(const HttpHeaders& headers, std::string_view name);

    // The next member that is not empty, without the white space around it; nothing after the last one.
    std::optional<std::string_view> next();

    // Whether an empty member was passed over so far. For the one field that may not have any: Transfer-Encoding.
    bool hadEmpty() const { return m_hadEmpty; }

private:
    bool nextLine();

    std::string_view m_rest;                 // of the current line
    const HttpHeaders* m_headers = nullptr;  // null: there is one line
    std::string_view m_name;
    size_t m_nextField = 0;  // where to look for the next line
    bool m_hasMore = false;  // the current line has a member that was not returned, perhaps an empty one
    bool m_hadEmpty = false;
};

struct FieldParameter {
    std::string_view name;  // a token; empty: nothing stood between two semicolons (RFC 9110 §5.6.6)
    std::optional<std::string> value;  // a token, or what the quotes held, without its backslashes
};

// A member of a list, before its first semicolon and after it.
class FieldMember {
public:
    explicit FieldMember(std::string_view member);

    // What stands before the first semicolon, without white space around it. May be no token.
    std::string_view name() const { return m_name; }

    // Reads the next parameter. Returns false after the last one, and at one that is malformed: neither
    // `token`, nor `token = token`, nor `token = quoted-string`. White space around '=' is passed over: RFC 6455 is
    // based on a grammar that allows it (RFC 2616 §2.1).
    bool next(FieldParameter& parameter);
    bool isMalformed() const { return m_isMalformed; }

private:
    std::string_view m_name;
    std::optional<std::string_view> m_rest;  // after a semicolon; nothing: no more parameters
    bool m_isMalformed = false;
};

// Whether `token` is a member of the list, ignoring case.
bool listContains(std::string_view value, std::string_view token);
bool listContains(const HttpHeaders& headers, std::string_view name, std::string_view token);

}  // namespace tnet
