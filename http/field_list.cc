#include "http/field_list.h"

#include <algorithm>
#include <utility>

#include "http/types.h"

namespace tnet {
namespace {

constexpr std::string_view kBlanks = " \t";

std::string_view trimmed(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

// RFC 9110 §5.6.4. Where the quoted string ends that begins at `from`: behind its closing quote, or with the text.
size_t endOfQuoted(std::string_view text, size_t from) {
    for (size_t at = from + 1; at < text.size(); ++at) {
        if (text[at] == '"') return at + 1;
        if (text[at] == '\\') ++at;
    }
    return text.size();
}

// Where the first `separator` outside of quotes is; the text's size if there is none.
size_t findSeparator(std::string_view text, char separator) {
    for (size_t at = 0; at < text.size();) {
        if (text[at] == separator) return at;
        at = text[at] == '"' ? endOfQuoted(text, at) : at + 1;
    }
    return text.size();
}

// Takes what is before the first `separator`; `isLast` tells whether there was none.
std::string_view takePart(std::string_view& rest, char separator, bool& isLast) {
    const size_t end = findSeparator(rest, separator);
    const std::string_view part = trimmed(rest.substr(0, end));
    isLast = end == rest.size();
    rest.remove_prefix(isLast ? end : end + 1);
    return part;
}

// Nothing if `text` is not one quoted string from its beginning to its end.
std::optional<std::string> unquoted(std::string_view text) {
    std::string content;
    for (size_t at = 1; at < text.size(); ++at) {
        if (text[at] == '"') {
            if (at + 1 != text.size()) return std::nullopt;
            return content;
        }
        if (text[at] == '\\' && ++at == text.size()) return std::nullopt;
        content += text[at];
    }
    return std::nullopt;
}

std::optional<std::string> parameterValue(std::string_view text) {
    if (text.starts_with('"')) return unquoted(text);
    if (!isToken(text)) return std::nullopt;
    return std::string(text);
}

}  // namespace

FieldList::FieldList(const HttpHeaders& headers, std::string_view name) : m_headers(&headers), m_name(name) {
    if (!headers.mayHaveNameOf(name.size())) m_nextField = headers.size();
}

bool FieldList::nextLine() {
    if (m_headers == nullptr) return false;
    while (m_nextField < m_headers->size()) {
        const HttpHeaders::Field field = (*m_headers)[m_nextField++];
        if (!equalsIgnoreCase(field.name, m_name)) continue;
        m_rest = field.value;
        m_hasMore = true;
        return true;
    }
    return false;
}

std::optional<std::string_view> FieldList::next() {
    while (m_hasMore || nextLine()) {
        bool isLast = false;
        const std::string_view member = takePart(m_rest, ',', isLast);
        m_hasMore = !isLast;
        if (!member.empty()) return member;
        m_hadEmpty = true;
    }
    return std::nullopt;
}

FieldMember::FieldMember(std::string_view member) {
    bool isLast = false;
    m_name = takePart(member, ';', isLast);
    if (!isLast) m_rest = member;
}

bool FieldMember::next(FieldParameter& parameter) {
    if (!m_rest) return false;
    bool isLast = false;
    const std::string_view text = takePart(*m_rest, ';', isLast);
    if (isLast) m_rest.reset();
    parameter = {};
    if (text.empty()) return true;
    const size_t equals = text.find('=');
    parameter.name = trimmed(text.substr(0, equals));
    if (equals != std::string_view::npos) parameter.value = parameterValue(trimmed(text.substr(equals + 1)));
    if (isToken(parameter.name) && (equals == std::string_view::npos || parameter.value)) return true;
    m_isMalformed = true;
    m_rest.reset();
    return false;
}

bool listContains(std::string_view value, std::string_view token) {
    for (FieldList list(value); const auto member = list.next();) {
        if (equalsIgnoreCase(*member, token)) return true;
    }
    return false;
}

bool listContains(const HttpHeaders& headers, std::string_view name, std::string_view token) {
    for (FieldList list(headers, name); const auto member = list.next();) {
        if (equalsIgnoreCase(*member, token)) return true;
    }
    return false;
}

}  // namespace tnet
