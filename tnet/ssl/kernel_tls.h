// Kernel TLS: the kernel encrypts what a socket sends, so that sendfile(2) works over TLS.
//
// For the writing direction of TLS 1.3 connections; reading stays with TlsRecords. Where the kernel has no TLS,
// or the socket is none of TCP, nothing changes.
//
// Internal to //tnet/ssl. Threads: any.
#pragma once

#include "tnet/ssl/tls_key.h"

namespace tnet {

// From the record that `key` would write next, the kernel does. All earlier ones must be with it already.
// False: it does not.
bool startKernelWrites(int fd, const TlsKey& key);

// As far as the socket has room for so little at once.
void sendKernelCloseNotify(int fd);

}  // namespace tnet
