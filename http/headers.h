// HttpHeaders: the fields of a message, in order, names as they were written.
//
// They lie one behind the other in the form they have on the wire ("Name: value\r\n"), so that a
// response's fields are written with one copy and a request's cost no allocation of their own: the
// storage of a discarded HttpHeaders is used again by the next one on the same thread.
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

    bool has(std::string_view name) const { return find(name).has_value(); }
    // The first field of that name; get: empty if there is none.
    std::optional<std::string_view> find(std::string_view name) const;
    std::string_view get(std::string_view name) const { return find(name).value_or(std::string_view{}); }

    size_t size() const { return m_storage ? m_storage->fields.size() : 0; }
    bool empty() const { return size() == 0; }
    Field operator[](size_t index) const;

    // All of them, as they go over the wire, without the empty line that ends them.
    std::string_view wire() const { return m_storage ? std::string_view(m_storage->text) : std::string_view{}; }

    // --- For the parser, which gets names and values in pieces ---

    void appendName(std::string_view piece);
    void appendValue(std::string_view piece);
    Field endField();  // the field that is complete now, white space around its value removed

private:
    struct Position {
        uint32_t start;
        uint32_t nameSize;
        uint32_t valueSize;
    };
    struct Storage {
        std::string text;
        std::vector<Position> fields;
        uint32_t openStart = 0;     // } of the field that
        uint32_t openNameSize = 0;  // } is being parsed
        bool valueBegun = false;
    };
    struct Recycle {
        void operator()(Storage* storage) const noexcept;
    };
    class Pool;

    Storage& storage();
    void append(std::string_view name, std::string_view value);

    std::unique_ptr<Storage, Recycle> m_storage;  // null: no fields
};

// RFC 9110 §5.6.2.
bool isToken(std::string_view text);
// RFC 9110 §5.5: no control bytes but HTAB.
bool isFieldValue(std::string_view text);

}  // namespace tnet
