// LoadFlags: the command line of a load: a mode, then flags with their values, then an end with status 2 for
// whatever else is there.
//
//   http_load keepalive --port 8080 --requests 1000
//
// Ask for every flag that the mode has, then call rejectOthers().
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace tnet {

class LoadFlags {
public:
    // `usage` is printed, below what is wrong, by reject(); both texts have to outlive this.
    LoadFlags(const char* program, const char* usage, int argc, char** argv);

    const std::string& mode() const { return m_mode; }

    // A number above 0; `missing` if the flag is not there.
    uint64_t number(const std::string& flag, uint64_t missing);
    std::string text(const std::string& flag, const std::string& missing);
    // A flag without a value.
    bool has(const std::string& flag);
    // --port, which has to be there.
    uint16_t port();

    // For when all flags have been asked for: is there one more?
    void rejectOthers() const;

    // Says `what` and how it is done, exits 2.
    [[noreturn]] void reject(const std::string& what) const;

private:
    const char* const m_program;
    const char* const m_usage;
    std::string m_mode;
    std::map<std::string, std::string, std::less<>> m_values;  // what has not been asked for yet
};

}  // namespace tnet
