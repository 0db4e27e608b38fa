// hostile_transcripts: prints the tables of tests/http/hostile_requests.h, a name and its bytes in hexadecimal a line.
#include <cstdio>
#include <string>

#include "tests/http/hostile_requests.h"

int main() {
    for (const auto* const table : {&tnet::hostileRequests(), &tnet::unusualButValidRequests()}) {
        for (const tnet::HostileRequest& row : *table) {
            std::printf("%s ", row.name.c_str());
            for (const char c : row.bytes)
                std::printf("%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
            std::printf("\n");
        }
    }
}
