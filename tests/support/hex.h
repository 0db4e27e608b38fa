// hex: bytes of wire transcripts as they are written in tables.
//
//     fromHex("81 85 37fa213d 7f9f4d5158")
//
// Threads: any. Lifetime: copies.
#pragma once

#include <string>
#include <string_view>

namespace tnet {

// Two digits a byte, of any letter case; spaces may stand between bytes. Throws std::invalid_argument for
// anything else.
std::string fromHex(std::string_view digits);

// Two digits a byte and nothing else.
std::string toHex(std::string_view bytes);

}  // namespace tnet
