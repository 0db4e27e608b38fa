// hostile_requests: transcripts of requests that a strict HTTP/1 server must refuse, and of odd ones
// that it must not.
//
// Each transcript has one defect, so the answer does not depend on how its bytes are cut. They are
// written for a test server with
//
//     GET /   ANY /echo   GET /hello/:name   POST /post          each answers 200
//     request line 2048 bytes, header lines 4096 bytes and 64 lines, body 65536 bytes,
//     chunk-size line 256 bytes, chunk extensions of one body 4096 bytes; trailers have the limits
//     of the header lines
//
// Pure data: depends on nothing of tnet.
//
// Threads: any; the tables are built once and never change.
// Lifetime: static.
#pragma once

#include <string>
#include <vector>

namespace tnet {

struct HostileRequest {
    std::string name;           // unique in both tables together, kebab-case
    std::string bytes;          // what the client sends, whole
    std::vector<int> statuses;  // final status of each response, in order; 1xx are not listed
    bool closes;                // the server closes the connection after the last response
    std::string why;            // the rule it is about
};

// To be refused. Where there is a request behind the defect, it must not be answered.
const std::vector<HostileRequest>& hostileRequests();

// To be answered 200, each of them, however it looks.
const std::vector<HostileRequest>& unusualButValidRequests();

}  // namespace tnet
