// cpp20: says first, and in words, what a compiler without C++20 would say in hundreds of lines.
//
// Every header that includes no other one of this project includes this one, so that it comes before all else.
#pragma once

#if __cplusplus < 202002L
#error "tnet needs C++20: compile with -std=c++20"
#endif
