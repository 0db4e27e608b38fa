// http_load: asks a server without a pause until its input ends, then prints what became of the requests.
//
//     http_load ADDRESS:PORT PATH
//
// Prints "answered N refused N untouched N told N lost N", and on another line how the first was lost. Exits with 1 if
// some were refused or lost.
#include <cinttypes>
#include <cstdio>

#include "tests/support/http_load.h"
#include "tnet/address.h"

using namespace tnet;

int main(int argc, char** argv) {
    if (argc != 3) return std::fprintf(stderr, "usage: http_load ADDRESS:PORT PATH\n"), 2;
    const auto address = Address::parse(argv[1]);
    if (!address) return std::fprintf(stderr, "%s\n", address.error().message.c_str()), 2;
    HttpLoad load({.address = *address, .path = argv[2]});
    while (std::getchar() != EOF) {
    }
    load.stop();
    const HttpLoad::Counts counts = load.counts();
    std::printf("answered %" PRIu64 " refused %" PRIu64 " untouched %" PRIu64 " told %" PRIu64
                " lost %" PRIu64 "\n",
                counts.answered, counts.refused, counts.untouched, counts.told, counts.lost);
    if (counts.lost > 0) std::printf("%s\n", load.firstLoss().c_str());
    return counts.refused + counts.lost > 0 ? 1 : 0;
}
