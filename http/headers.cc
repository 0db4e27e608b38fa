#include "http/headers.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <utility>

#include "http/scan.h"
#include "http/types.h"

namespace tnet {
namespace {

constexpr std::array<bool, 256> makeValueTable() {
    std::array<bool, 256> table{};
    for (size_t byte = 0; byte < table.size(); ++byte)
        table[byte] = (byte >= 0x20 && byte != 0x7F) || byte == '\t';
    return table;
}
constexpr std::array<bool, 256> kIsValueByte = makeValueTable();

constexpr std::string_view kSeparator = ": ";
constexpr std::string_view kLineEnd = "\r\n";
constexpr size_t kMaxKeptBytes = 16 << 10;  // storage that grew beyond this is not kept

// Of the eight bytes at `at`; without a branch for each.
bool areTokenBytes(const char* at) {
    unsigned good = 1;
    for (size_t i = 0; i < 8; ++i) good &= static_cast<unsigned>(isTokenByte(at[i]));
    return good != 0;
}

char* write(char* out, std::string_view text) {
    if (text.empty()) return out;  // may be null then
    std::memcpy(out, text.data(), text.size());
    return out + text.size();
}

char* writeField(char* out, HttpHeaders::Field field) {
    out = write(out, field.name);
    out = write(out, kSeparator);
    out = write(out, field.value);
    return write(out, kLineEnd);
}

}  // namespace

bool isToken(std::string_view text) {
    const char* at = text.data();
    const char* const end = at + text.size();
    bool good = !text.empty();
    for (; end - at >= 8; at += 8) good &= areTokenBytes(at);
    for (; at != end; ++at) good &= isTokenByte(*at);
    return good;
}

bool isFieldValue(std::string_view text) {
    const char* const end = text.data() + text.size();
    const char* at = skipPrintable<0x20>(text.data(), end);  // nearly always all of it
    bool good = true;
    for (; at != end; ++at) good &= kIsValueByte[static_cast<unsigned char>(*at)];
    return good;
}

// The storage of discarded headers, per thread, so that the steady state allocates nothing.
class HttpHeaders::Pool {
public:
    ~Pool() {
        s_isGone = true;
        while (m_free != nullptr) delete std::exchange(m_free, m_free->next);
    }

    static Storage* take() {
        if (s_isGone || s_pool.m_free == nullptr) return new Storage;
        --s_pool.m_size;
        return std::exchange(s_pool.m_free, s_pool.m_free->next);
    }

    static void give(Storage* storage) {
        if (s_isGone || s_pool.m_size >= kMaxFree) {
            delete storage;
            return;
        }
        storage->text.clear(kMaxKeptBytes);
        storage->fields.clear();
        storage->nameSizes = 0;
        storage->isRaw = false;
        storage->next = std::exchange(s_pool.m_free, storage);
        ++s_pool.m_size;
    }

private:
    static constexpr size_t kMaxFree = 64;

    Storage* m_free = nullptr;  // a list of those that are free
    size_t m_size = 0;

    static thread_local Pool s_pool;
    static thread_local bool s_isGone;  // headers may outlive the pool while a thread ends
};

thread_local HttpHeaders::Pool HttpHeaders::Pool::s_pool;
thread_local bool HttpHeaders::Pool::s_isGone = false;

void HttpHeaders::Recycle::operator()(Storage* storage) const noexcept { Pool::give(storage); }

HttpHeaders::HttpHeaders(const HttpHeaders& other) { *this = other; }

HttpHeaders& HttpHeaders::operator=(const HttpHeaders& other) {
    if (this == &other) return *this;
    if (other.empty()) {
        m_storage.reset();
    } else {
        clear();
        for (size_t i = 0; i < other.size(); ++i) append(other[i].name, other[i].value);
    }
    return *this;
}

HttpHeaders::Storage& HttpHeaders::storage() {
    if (!m_storage) m_storage.reset(Pool::take());
    return *m_storage;
}

void HttpHeaders::add(std::string_view name, std::string_view value) {
    check(name, value);
    addChecked(name, value);
}

void HttpHeaders::addChecked(std::string_view name, std::string_view value) {
    if (m_storage && (isOwn(name) || isOwn(value))) return append(std::string(name), std::string(value));
    append(name, value);
}

void HttpHeaders::check(std::string_view name, std::string_view value) {
    if (!isToken(name)) throw std::invalid_argument("header name is not a token: " + std::string(name));
    if (!isFieldValue(value))
        throw std::invalid_argument("control byte in the value of header " + std::string(name));
}

bool HttpHeaders::isOwn(std::string_view text) const {
    const std::string_view all = m_storage->text.view();
    return !std::less<>()(text.data(), all.data()) && std::less<>()(text.data(), all.data() + all.size());
}

void HttpHeaders::append(std::string_view name, std::string_view value) {
    if (m_storage && m_storage->isRaw) rewrite();
    Storage& s = storage();
    const auto start = static_cast<uint32_t>(s.text.size());
    const auto nameSize = static_cast<uint32_t>(name.size());
    const auto valueSize = static_cast<uint32_t>(value.size());
    const size_t bytes = name.size() + kSeparator.size() + value.size() + kLineEnd.size();
    writeField(s.text.reserve(bytes), {name, value});
    s.text.commit(bytes);
    addPosition({start, nameSize, start + nameSize + static_cast<uint32_t>(kSeparator.size()), valueSize});
}

void HttpHeaders::addPosition(const Position& position) {
    m_storage->nameSizes |= uint32_t{1} << (position.nameSize % 32);
    m_storage->fields.push_back(position);
}

// Leaves nothing in the text but the fields.
void HttpHeaders::rewrite() {
    HttpHeaders fresh;
    for (size_t i = 0; i < size(); ++i) fresh.append((*this)[i].name, (*this)[i].value);
    *this = std::move(fresh);
}

void HttpHeaders::set(std::string_view name, std::string_view value) {
    check(name, value);
    if (!has(name)) return addChecked(name, value);
    const std::string ownName(name);  // may be views of what is removed
    const std::string ownValue(value);
    remove(ownName);
    append(ownName, ownValue);
}

bool HttpHeaders::remove(std::string_view name) {
    if (!has(name)) return false;
    std::erase_if(m_storage->fields, [&](const Position& p) { return equalsIgnoreCase(at(p).name, name); });
    rewrite();
    return true;
}

void HttpHeaders::clear() { m_storage.reset(); }

std::optional<std::string_view> HttpHeaders::find(std::string_view name) const {
    if (!mayHaveNameOf(name.size())) return std::nullopt;
    for (const Position& p : m_storage->fields) {
        if (p.nameSize == name.size() && equalsIgnoreCase(at(p).name, name)) return at(p).value;
    }
    return std::nullopt;
}

HttpHeaders::Field HttpHeaders::operator[](size_t index) const {
    assert(index < size());
    return at(m_storage->fields[index]);
}

HttpHeaders::Field HttpHeaders::at(const Position& position) const {
    const char* const text = m_storage->text.data();
    return {{text + position.nameStart, position.nameSize}, {text + position.valueStart, position.valueSize}};
}

size_t HttpHeaders::wireSize() const {
    if (!m_storage) return 0;
    if (!m_storage->isRaw) return m_storage->text.size();
    size_t bytes = 0;
    for (const Position& p : m_storage->fields)
        bytes += p.nameSize + kSeparator.size() + p.valueSize + kLineEnd.size();
    return bytes;
}

char* HttpHeaders::writeTo(char* out) const {
    if (!m_storage) return out;
    if (!m_storage->isRaw) return write(out, m_storage->text.view());
    for (const Position& p : m_storage->fields) {
        out = writeField(out, at(p));
    }
    return out;
}

void HttpHeaders::beginRaw() {
    Storage& s = storage();
    s.text.clear(kMaxKeptBytes);
    s.fields.clear();
    s.nameSizes = 0;
    s.isRaw = true;
}

void HttpHeaders::addRaw(uint32_t nameStart, uint32_t nameSize, uint32_t valueStart, uint32_t valueSize) {
    addPosition({nameStart, nameSize, valueStart, valueSize});
}

}  // namespace tnet
