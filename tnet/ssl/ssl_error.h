// Errors of TLS as std::error_code: OpenSSL's reasons, what certificate verification found, and our own.
//
// Threads: any; OpenSSL's error queue is the calling thread's.
#pragma once

#include <string>
#include <system_error>

#include "tnet/result.h"

namespace tnet {

// What a connection over TLS fails with where OpenSSL has no word for it.
enum class SslError {
    Truncated = 1,  // the peer's stream ended without close_notify (RFC 8446 §6.1)
    PlainRequest,   // the client speaks HTTP without TLS
    Protocol,       // the peer broke the rules of TLS
};
std::error_code make_error_code(SslError error);

// The category of OpenSSL's reasons: message() is as "wrong version number".
const std::error_category& opensslCategory();

// The category of X509_V_ERR_* values: message() is as "certificate has expired".
const std::error_category& certificateCategory();

// The oldest error in the thread's queue, which is empty afterwards. SslError::Protocol if there was none.
std::error_code takeOpensslError();

// For set-up: "what: OpenSSL's reason", from the thread's queue, which is empty afterwards.
Error makeOpensslError(const std::string& what);

}  // namespace tnet

template <>
struct std::is_error_code_enum<tnet::SslError> : std::true_type {};
