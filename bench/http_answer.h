// http_answer: is this the answer that the measured servers owe?
//
// A 200 with a Content-Length and exactly the body "Hello, World!"; whatever other fields it has.
#pragma once

#include <cstddef>
#include <string_view>

namespace tnet {

enum class Verdict { Complete, Incomplete, Wrong };

struct Answer {
    Verdict verdict = Verdict::Incomplete;
    size_t bytes = 0;  // what the answer takes of the input, once complete
};

// Looks at the first answer in `input`, which may go on behind it.
Answer checkAnswer(std::string_view input);

}  // namespace tnet
