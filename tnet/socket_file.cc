#include "tnet/socket_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <utility>

namespace tnet {

SocketFile::SocketFile(const Address& address) {
    if (!address.isUnix() || address.isAbstract()) return;
    std::string path = address.unixPath();
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return;
    m_path = std::move(path);
    m_device = status.st_dev;
    m_inode = status.st_ino;
}

void SocketFile::remove() {
    const std::string path = std::exchange(m_path, {});
    struct stat status {};
    if (path.empty() || ::lstat(path.c_str(), &status) != 0) return;
    if (S_ISSOCK(status.st_mode) && status.st_dev == m_device && status.st_ino == m_inode)
        ::unlink(path.c_str());
}

}  // namespace tnet
