// HttpHeaders: the fields of a message, in order, names as they were written.
//
// They lie one behind the other as they go over the wire or came from it, so that a response's fields are
// written with one copy and a request's are not copied one by one. Neither allocates in the steady
// state: the storage of a discarded HttpHeaders is used again by the next one on the same thread.
//
// Threads: a value; one thread at a time, any thread.
// Lifetime: views it returns are valid until it is changed or destroyed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tnet/byte_buffer.h"

namespace tnet {

class HttpHeaders {
public:
    struct Field {
        std::string_view name;
        std::string_view value;
    };

    HttpHeaders() = default;
    HttpHeaders(const HttpHeaders& other);
    HttpHeaders& operator=(const HttpHeaders& other);
    HttpHeaders(HttpHeaders&&) noexcept = default;
    HttpHeaders& operator=(HttpHeaders&&) noexcept = default;
    ~HttpHeaders() = default;

    // Adds a field, keeping others of that name; or replaces all of that name by one.
    // Throws std::invalid_argument if the name is not a token (RFC 9110 §5.1) or the value has control
    // bytes (§5.5): whoever puts a peer's text into a header cannot be made to split the response.
    void add(std::string_view name, std::string_view value);
    void set(std::string_view name, std::string_view value);

    // True if there was one. Names compare without regard to case.
    bool remove(std::string_view name);
    void clear();

    bool has(std::string_view name) const { return mayHaveNameOf(name.size()) && find(name).has_value(); }
    // The first field of that name; get: empty if there is none.
    std::optional<std::string_view> find(std::string_view name) const;
    std::string_view get(std::string_view name) const { return find(name).value_or(std::string_view{}); }

    // False only if no field's name has one of these lengths: spares searches for what is rarely there.
    template <class... Sizes>
    bool mayHaveNameOf(Sizes... nameSizes) const {
        return m_storage && (m_storage->nameSizes & ((uint32_t{1} << (nameSizes % 32)) | ...)) != 0;
    }

    size_t size() const { return m_storage ? m_storage->fields.size() : 0; }
    bool empty() const { return size() == 0; }
    Field operator[](size_t index) const;

    // What they take on the wire, without the empty line that ends them, and writing that to `out`, which
    // has the room. Returns the end of what was written.
    size_t wireSize() const;
    char* writeTo(char* out) const;

    // --- For the parser ---

    // Empties it, ready for bytes of a message and then fields that are parts of them.
    void beginRaw();
    void appendRaw(std::string_view bytes) { m_storage->text.append(bytes); }
    std::string_view raw() const { return m_storage->text.view(); }
    void addRaw(uint32_t nameStart, uint32_t nameSize, uint32_t valueStart, uint32_t valueSize);

private:
    struct Position {
        uint32_t nameStart;
        uint32_t nameSize;
        uint32_t valueStart;
        uint32_t valueSize;
    };
    struct Storage {
        ByteBuffer text;
        std::vector<Position> fields;
        uint32_t nameSizes = 0;   // a bit per length of a name, modulo 32: tells most absent ones at once
        bool isRaw = false;       // text has more than the fields: what came from the wire
        Storage* next = nullptr;  // of the pool's
    };
    struct Recycle {
        void operator()(Storage* storage) const noexcept;
    };
    class Pool;

    Storage& storage();
    static void check(std::string_view name, std::string_view value);
    bool isOwn(std::string_view text) const;  // a view of what is about to move
    void addChecked(std::string_view name, std::string_view value);
    void append(std::string_view name, std::string_view value);
    void addPosition(const Position& position);
    void rewrite();
    Field at(const Position& position) const;

    std::unique_ptr<Storage, Recycle> m_storage;  // null: no fields
};

// RFC 9110 §5.6.2.
bool isToken(std::string_view text);
// RFC 9110 §5.5: no control bytes but HTAB.
bool isFieldValue(std::string_view text);

}  // namespace tnet
