// SocketFile: the file of a Unix-domain listener, and whether it is still the same one.
//
// Whoever bound the listener removes its file when it goes. Another process may have bound the path again by then,
// so the file is known by its device and inode. Remove it while the listener still listens: listenOn() takes no path
// from a live listener, so nobody can put a file of its own there between the look and the removal.
//
// A value. Threads: one at a time.
#pragma once

#include <sys/types.h>

#include <string>

#include "tnet/address.h"

namespace tnet {

class SocketFile {
public:
    // The file that was just bound at `address`; none if that is not a path.
    explicit SocketFile(const Address& address);

    // Unlinks the file if it is there and still the same. Does nothing a second time.
    void remove();

private:
    std::string m_path;  // empty: no file
    dev_t m_device = 0;
    ino_t m_inode = 0;
};

}  // namespace tnet
