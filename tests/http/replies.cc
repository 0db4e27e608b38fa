#include "tests/http/replies.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace tnet {
namespace {

// ASCII letters only, unlike std::tolower.
std::string lowered(std::string_view text) {
    std::string result(text);
    for (char& c : result) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    }
    return result;
}

std::string firstOf(const Reply::Fields& fields, std::string_view name) {
    for (const auto& [key, value] : fields) {
        if (lowered(key) == lowered(name)) return value;
    }
    return {};
}

class ReplyReader {
public:
    ReplyReader(std::string_view bytes, const std::vector<size_t>& heads) : m_rest(bytes), m_heads(heads) {}

    Replies read() {
        while (!m_rest.empty() && m_problem.empty()) {
            const std::string_view before = m_rest;
            Reply reply;
            if (!readOne(reply)) {
                m_rest = before;
                break;
            }
            if (reply.status >= 200) ++m_finals;
            m_replies.push_back(std::move(reply));
        }
        return {std::move(m_replies), m_problem, std::string(m_rest)};
    }

private:
    bool fail(std::string problem) {
        m_problem = std::move(problem);
        return false;
    }

    // The next line without its CRLF; nullopt if it is not whole.
    std::optional<std::string_view> line() {
        const size_t end = m_rest.find("\r\n");
        if (end == std::string_view::npos) return std::nullopt;
        const std::string_view text = m_rest.substr(0, end);
        m_rest.remove_prefix(end + 2);
        for (const char c : text) {
            if ((c >= 0 && c < ' ' && c != '\t') || c == 0x7F) m_problem = "control byte in a line";
        }
        return text;
    }

    bool readOne(Reply& reply) {
        const std::string_view start = m_rest;
        const auto first = line();
        if (!first || !readStatusLine(*first, reply) || !readFields(reply.fields)) return false;
        reply.head = std::string(start.substr(0, start.size() - m_rest.size()));
        return readBody(reply);
    }

    bool readStatusLine(std::string_view text, Reply& reply) {
        const bool shaped = text.size() >= 13 && text.starts_with("HTTP/1.1 ") && text[12] == ' ';
        if (!shaped) return fail("status line: " + std::string(text));
        const auto [end, error] = std::from_chars(text.data() + 9, text.data() + 12, reply.status);
        if (error != std::errc() || end != text.data() + 12) return fail("status: " + std::string(text));
        return true;
    }

    bool readFields(Reply::Fields& fields) {
        for (;;) {
            const auto text = line();
            if (!text) return false;
            if (text->empty()) return m_problem.empty();
            const size_t colon = text->find(": ");
            if (colon == std::string_view::npos || colon == 0)
                return fail("field line: " + std::string(*text));
            fields.emplace_back(text->substr(0, colon), text->substr(colon + 2));
        }
    }

    bool readBody(Reply& reply) {
        const bool isHead = std::find(m_heads.begin(), m_heads.end(), m_finals) != m_heads.end();
        const bool hasBody = reply.status >= 200 && reply.status != 204 && reply.status != 304;
        if (reply.count("Content-Length") + reply.count("Transfer-Encoding") > 1) return fail("framed twice");
        if (!hasBody || isHead) return true;
        if (reply.has("Transfer-Encoding")) return readChunks(reply);
        if (reply.has("Content-Length")) return readCounted(reply);
        reply.untilClose = true;
        reply.body = std::string(m_rest);
        m_rest = {};
        return true;
    }

    bool readCounted(Reply& reply) {
        const std::string text = reply.header("Content-Length");
        size_t size = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
        if (text.empty() || error != std::errc() || end != text.data() + text.size())
            return fail("length: " + text);
        if (m_rest.size() < size) return false;
        reply.body = std::string(m_rest.substr(0, size));
        m_rest.remove_prefix(size);
        return true;
    }

    bool readChunks(Reply& reply) {
        if (reply.header("Transfer-Encoding") != "chunked") return fail("an unknown transfer coding");
        for (;;) {
            const auto text = line();
            if (!text) return false;
            size_t size = 0;
            const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), size, 16);
            if (text->empty() || error != std::errc() || end != text->data() + text->size()) {
                return fail("chunk size: " + std::string(*text));
            }
            if (size == 0) return readFields(reply.trailers);
            if (m_rest.size() < size + 2) return false;
            if (m_rest.substr(size, 2) != "\r\n") return fail("no CRLF behind a chunk");
            reply.body += m_rest.substr(0, size);
            ++reply.chunks;
            m_rest.remove_prefix(size + 2);
        }
    }

    std::string_view m_rest;
    const std::vector<size_t>& m_heads;
    std::vector<Reply> m_replies{};
    size_t m_finals = 0;
    std::string m_problem{};
};

}  // namespace

size_t Reply::count(std::string_view name) const {
    return static_cast<size_t>(std::count_if(fields.begin(), fields.end(), [name](const auto& field) {
        return lowered(field.first) == lowered(name);
    }));
}

std::string Reply::header(std::string_view name) const { return firstOf(fields, name); }

std::string Reply::trailer(std::string_view name) const { return firstOf(trailers, name); }

std::vector<int> Replies::statuses() const {
    std::vector<int> list;
    for (const Reply& reply : all) list.push_back(reply.status);
    return list;
}

std::vector<int> Replies::finalStatuses() const {
    std::vector<int> list;
    for (const Reply& reply : all) {
        if (reply.status >= 200) list.push_back(reply.status);
    }
    return list;
}

Replies parseReplies(std::string_view bytes, const std::vector<size_t>& heads) {
    return ReplyReader(bytes, heads).read();
}

std::ostream& operator<<(std::ostream& out, const Replies& replies) {
    constexpr size_t kShown = 300;
    for (const Reply& reply : replies.all) out << reply.head << reply.body.substr(0, kShown) << "\n--\n";
    if (!replies.problem.empty()) out << "problem: " << replies.problem << "\n";
    if (!replies.rest.empty()) out << "rest: " << replies.rest.substr(0, kShown) << "\n";
    return out;
}

}  // namespace tnet
