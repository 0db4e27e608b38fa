// trailers: which fields may follow a body (RFC 9110 §6.5.1).
//
// Pure. Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "http/headers.h"

namespace tnet {

// Whether we send a field of that name as a trailer. Not one that frames or routes a message, authenticates,
// changes what a request asks for, controls a response or says how its content is to be read: a recipient
// needs that before the body, or may merge trailers into the header fields and be led astray.
bool mayBeTrailer(std::string_view name);

// Appends those of `trailers` that may be some, as lines of a chunked body's end (RFC 9112 §7.1.2). Returns
// the name of the first that was left out, a view into `trailers`; empty if none was.
std::string_view appendTrailers(std::string& out, const HttpHeaders& trailers);

}  // namespace tnet
