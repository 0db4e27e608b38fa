// ExpectedRequests: what requests there are in all that a peer has sent, read at once and by the parser alone: the plain,
// second way for a target whose connection gets the same bytes in pieces, late, and from within other things.
//
// Threads: a value. Lifetime: copies what it keeps.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "http/types.h"

namespace tnet {

struct ExpectedRequest {
    bool hasHead = false;     // all below but the body is known
    bool isComplete = false;  // the body is whole
    bool isRefused = false;   // or it is malformed, or too large
    HttpMethod method = HttpMethod::Get;
    std::string target{};
    bool isHttp11 = true;
    bool keepsAlive = true;  // what it asks for
    bool expectsContinue = false;
    std::string body{};  // what there is of it
    size_t end = 0;      // where what follows it begins
};

// The last of them is not complete or refused, unless the bytes end with a request.
std::vector<ExpectedRequest> expectedRequests(std::string_view bytes, const HttpLimits& limits);

}  // namespace tnet
