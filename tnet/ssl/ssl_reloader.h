// SslReloader: reloads an SslContext when its files change, as when a certificate is renewed.
//
//     auto reloader = std::make_unique<SslReloader>(&loop, context);   // one for all loops of a server
//
// Each interval it looks whether a file is another one than before (device, inode, size or time of change of
// what the name leads to, through links). It logs what came of a change, once. A reload that fails, for one
// because the key is not there yet, leaves everything as it was and is tried again at the next change.
//
// Threads: the loop's; the files are read on it, which takes a millisecond or so per certificate.
// Lifetime: before the loop; it stops when it is destroyed.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "tnet/io_loop.h"
#include "tnet/ssl/ssl_context.h"

namespace tnet {

class SslReloader {
public:
    // `interval` is positive.
    SslReloader(IOLoop* loop, SslContextPtr_t context,
                std::chrono::milliseconds interval = std::chrono::seconds(10));
    ~SslReloader();
    SslReloader(const SslReloader&) = delete;
    SslReloader& operator=(const SslReloader&) = delete;

private:
    struct FileState {
        uint64_t device = 0;
        uint64_t inode = 0;
        int64_t size = -1;  // there is no such file
        int64_t seconds = 0;
        int64_t nanoseconds = 0;

        bool operator==(const FileState&) const = default;
    };

    static FileState look(const std::string& file);
    std::vector<FileState> lookAtAll() const;
    void check();

    IOLoop* m_loop;
    SslContextPtr_t m_context;
    std::vector<std::string> m_files;
    std::vector<FileState> m_states;
    TimerId m_timer;
};

}  // namespace tnet
