// Result<T>: what a set-up call returns: a value, or an Error that names the culprit.
//
// For set-up only (listen, parse an address, load a certificate). Failures of running connections
// are events, not results.
#pragma once

#include <cassert>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

#include "tnet/cpp20.h"

namespace tnet {

struct Error {
    std::error_code code;
    std::string message;  // says what failed and which: "listen 127.0.0.1:80: Permission denied"
};

// `what` names the culprit; the code's own text is appended.
inline Error makeError(std::error_code code, const std::string& what) {
    return Error{code, what + ": " + code.message()};
}
inline Error makeError(std::errc code, const std::string& what) {
    return makeError(std::make_error_code(code), what);
}
// From errno right after a failed system call.
inline Error makeErrnoError(int error, const std::string& what) {
    return makeError(std::error_code(error, std::generic_category()), what);
}

template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : m_state(std::move(value)) {}
    Result(Error error) : m_state(std::move(error)) {}

    bool ok() const { return std::holds_alternative<T>(m_state); }
    explicit operator bool() const { return ok(); }

    // Only when ok().
    T& value() {
        assert(ok() && "value() of a Result that holds an error");
        return *std::get_if<T>(&m_state);
    }
    const T& value() const {
        assert(ok() && "value() of a Result that holds an error");
        return *std::get_if<T>(&m_state);
    }
    T& operator*() { return value(); }
    const T& operator*() const { return value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    // Only when not ok().
    const Error& error() const {
        assert(!ok() && "error() of a Result that holds a value");
        return *std::get_if<Error>(&m_state);
    }

private:
    std::variant<T, Error> m_state;
};

// The outcome of a set-up step that yields nothing but success.
struct Done {};
using Status = Result<Done>;

}  // namespace tnet
