// hasForked: whether this process has been copied by fork(2) since it began.
//
// A child that does not exec goes on holding every socket. To close one in the parent then neither ends it (the peer
// sees no FIN) nor takes it out of epoll, which would report it for ever under a number that means another
// descriptor by then. So after a fork, and only then, what is closed is shut down and removed first: two system
// calls for each connection that nearly no process needs.
//
// Told by pthread_atfork; posix_spawn, system, vfork and a bare clone(2) do not count: they exec.
//
// Threads: any.
#pragma once

namespace tnet {

bool hasForked();

}  // namespace tnet
