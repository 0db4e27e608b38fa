// inherited_sockets: the listening sockets that whoever started this process has opened for it: systemd (socket
// activation, sd_listen_fds(3)), or a predecessor that hands its own over (tnet/successor.h).
//
//     LISTEN_PID=<ours>  LISTEN_FDS=<n>       descriptors 3 to n + 2
//
//     auto sockets = inheritedSockets();
//     if (!sockets) ...
//     for (FileDescriptor& socket : *sockets) server.listen(std::move(socket));
//
// Which is which, localAddress(fd) tells. Several may have the same address: together they are a group that the
// kernel spreads connections over (SO_REUSEPORT), and each has a queue of its own: all must be served.
//
// Threads: before any other is started, since the environment changes. Lifetime: the caller's.
#pragma once

#include <vector>

#include "tnet/result.h"
#include "tnet/socket.h"

namespace tnet {

// Takes the sockets over; a second call finds none. LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES are unset, so that no
// child takes them for its own. The sockets are non-blocking and closed on exec from now on. None: nobody passed
// any, or they are another process's.
//
// Errors: LISTEN_FDS is no number (invalid_argument); a descriptor is not open (bad_file_descriptor), no socket
// (not_a_socket), or not a stream socket that listens (invalid_argument). The message names it. The others are
// closed then.
Result<std::vector<FileDescriptor>> inheritedSockets();

}  // namespace tnet
