#include "http/headers.h"

#include <array>
#include <cassert>
#include <stdexcept>
#include <utility>

#include "http/types.h"

namespace tnet {
namespace {

constexpr std::array<bool, 256> makeTokenTable() {
    std::array<bool, 256> table{};
    for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789"
                                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
        table[static_cast<unsigned char>(c)] = true;
    }
    return table;
}
constexpr std::array<bool, 256> kIsTokenByte = makeTokenTable();

constexpr std::string_view kSeparator = ": ";
constexpr std::string_view kLineEnd = "\r\n";

bool isBlank(char c) {
    return c == ' ' || c == '\t';
}

}  // namespace

bool isToken(std::string_view text) {
    bool valid = !text.empty();
    for (const char c : text) valid = valid && kIsTokenByte[static_cast<unsigned char>(c)];
    return valid;
}

bool isFieldValue(std::string_view text) {
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte < 0x20 && byte != '\t') || byte == 0x7F) return false;
    }
    return true;
}

// The storage of discarded headers, per thread, so that the steady state allocates nothing.
class HttpHeaders::Pool {
public:
    ~Pool() { s_isGone = true; }

    static Storage* take() {
        if (s_isGone || s_pool.m_free.empty()) return new Storage;
        Storage* const storage = s_pool.m_free.back().release();
        s_pool.m_free.pop_back();
        return storage;
    }

    static void give(Storage* storage) {
        std::unique_ptr<Storage> owned(storage);
        if (s_isGone || s_pool.m_free.size() >= kMaxFree || owned->text.capacity() > kMaxKeptBytes) return;
        owned->text.clear();
        owned->fields.clear();
        owned->valueBegun = false;
        owned->openStart = 0;
        owned->openNameSize = 0;
        s_pool.m_free.push_back(std::move(owned));
    }

private:
    static constexpr size_t kMaxFree = 64;
    static constexpr size_t kMaxKeptBytes = 16 << 10;

    std::vector<std::unique_ptr<Storage>> m_free;

    static thread_local Pool s_pool;
    static thread_local bool s_isGone;  // headers may outlive the pool while a thread ends
};

thread_local HttpHeaders::Pool HttpHeaders::Pool::s_pool;
thread_local bool HttpHeaders::Pool::s_isGone = false;

void HttpHeaders::Recycle::operator()(Storage* storage) const noexcept {
    Pool::give(storage);
}

HttpHeaders::HttpHeaders(const HttpHeaders& other) {
    *this = other;
}

HttpHeaders& HttpHeaders::operator=(const HttpHeaders& other) {
    if (this == &other) return *this;
    if (other.empty()) {
        m_storage.reset();
    } else {
        storage() = *other.m_storage;
    }
    return *this;
}

HttpHeaders::Storage& HttpHeaders::storage() {
    if (!m_storage) m_storage.reset(Pool::take());
    return *m_storage;
}

void HttpHeaders::add(std::string_view name, std::string_view value) {
    if (!isToken(name)) throw std::invalid_argument("header name is not a token: " + std::string(name));
    if (!isFieldValue(value)) throw std::invalid_argument("control byte in the value of header " + std::string(name));
    append(name, value);
}

void HttpHeaders::append(std::string_view name, std::string_view value) {
    Storage& s = storage();
    const Position position{static_cast<uint32_t>(s.text.size()), static_cast<uint32_t>(name.size()),
                            static_cast<uint32_t>(value.size())};
    s.text.append(name).append(kSeparator).append(value).append(kLineEnd);
    s.fields.push_back(position);
}

void HttpHeaders::set(std::string_view name, std::string_view value) {
    if (!empty()) remove(name);
    add(name, value);
}

bool HttpHeaders::remove(std::string_view name) {
    bool removed = false;
    for (size_t i = 0; i < size();) {
        if (!equalsIgnoreCase((*this)[i].name, name)) {
            ++i;
            continue;
        }
        Storage& s = *m_storage;
        const Position gone = s.fields[i];
        const size_t bytes = gone.nameSize + kSeparator.size() + gone.valueSize + kLineEnd.size();
        s.text.erase(gone.start, bytes);
        s.fields.erase(s.fields.begin() + static_cast<std::ptrdiff_t>(i));
        for (size_t k = i; k < s.fields.size(); ++k) s.fields[k].start -= static_cast<uint32_t>(bytes);
        removed = true;
    }
    return removed;
}

void HttpHeaders::clear() {
    m_storage.reset();
}

std::optional<std::string_view> HttpHeaders::find(std::string_view name) const {
    if (!m_storage) return std::nullopt;
    for (const Position& p : m_storage->fields) {
        if (p.nameSize != name.size()) continue;
        const std::string_view text = m_storage->text;
        if (!equalsIgnoreCase(text.substr(p.start, p.nameSize), name)) continue;
        return text.substr(p.start + p.nameSize + kSeparator.size(), p.valueSize);
    }
    return std::nullopt;
}

HttpHeaders::Field HttpHeaders::operator[](size_t index) const {
    assert(index < size());
    const Position& p = m_storage->fields[index];
    const std::string_view text = m_storage->text;
    return {text.substr(p.start, p.nameSize), text.substr(p.start + p.nameSize + kSeparator.size(), p.valueSize)};
}

void HttpHeaders::appendName(std::string_view piece) {
    storage().text.append(piece);
}

void HttpHeaders::appendValue(std::string_view piece) {
    Storage& s = storage();
    if (!s.valueBegun) {
        s.openNameSize = static_cast<uint32_t>(s.text.size()) - s.openStart;
        s.text.append(kSeparator);
        s.valueBegun = true;
    }
    s.text.append(piece);
}

HttpHeaders::Field HttpHeaders::endField() {
    appendValue({});  // a field without a value has had no piece of one
    Storage& s = storage();
    const size_t valueStart = s.openStart + s.openNameSize + kSeparator.size();
    while (s.text.size() > valueStart && isBlank(s.text.back())) s.text.pop_back();
    const Position position{s.openStart, s.openNameSize, static_cast<uint32_t>(s.text.size() - valueStart)};
    s.text.append(kLineEnd);
    s.openStart = static_cast<uint32_t>(s.text.size());
    s.valueBegun = false;
    s.fields.push_back(position);
    return (*this)[s.fields.size() - 1];
}

}  // namespace tnet
