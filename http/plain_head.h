// plain_head: reads in one pass the heads that nearly all requests have, so that they need neither HeadGuard
// nor llhttp, which together cost them three times as much.
//
//     a plain head             -> readPlainHead -> its fields
//     anything else, or a part -> HeadGuard -> llhttp
//
// Plain is what no reader could take for anything else, and a small part of what is valid: a whole GET or
// HEAD in origin-form, HTTP/1.0 or 1.1, single spaces, CRLF, printable ASCII, no field that announces a body.
// It never refuses, so it decides nothing but speed; tests/http/plain_head_test.cc holds it to that.
//
// Pure: no I/O. Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/headers.h"
#include "http/types.h"

namespace tnet {

struct PlainHead {
    size_t bytes = 0;  // of the head with its empty line; 0: it is not plain
    HttpMethod method = HttpMethod::Get;
    uint8_t minorVersion = 1;
    uint32_t targetStart = 0;
    uint32_t targetSize = 0;
};

// Reads the head at the front of `input` and adds the positions of its fields to `headers`, whose bytes are
// to be appended by the caller (after HttpHeaders::beginRaw). If it is not plain, `headers` may have some.
PlainHead readPlainHead(std::string_view input, const HttpLimits& limits, HttpHeaders& headers);

}  // namespace tnet
