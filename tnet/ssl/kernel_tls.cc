#include "tnet/ssl/kernel_tls.h"

#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace tnet {
namespace {

constexpr int kSolTls = 282;  // SOL_TLS, which glibc 2.36 does not define

void storeBigEndian(uint64_t number, unsigned char* into) {
    for (int i = 7; i >= 0; --i, number >>= 8) into[i] = static_cast<unsigned char>(number);
}

// The kernel splits the nonce into a salt and an IV where TLS 1.2 did; TLS 1.3 uses both together.
template <class Info>
bool give(int fd, uint16_t cipher, const TlsKey& key) {
    Info info{};
    info.info.version = TLS_1_3_VERSION;
    info.info.cipher_type = cipher;
    if (key.key().size() != sizeof(info.key)) return false;
    std::memcpy(info.key, key.key().data(), sizeof(info.key));
    std::memcpy(info.salt, key.iv().data(), sizeof(info.salt));
    std::memcpy(info.iv, key.iv().data() + sizeof(info.salt), sizeof(info.iv));
    storeBigEndian(key.sequence(), info.rec_seq);
    const bool taken = ::setsockopt(fd, kSolTls, TLS_TX, &info, sizeof(info)) == 0;
    OPENSSL_cleanse(&info, sizeof(info));
    return taken;
}

}  // namespace

bool startKernelWrites(int fd, const TlsKey& key) {
    const bool isAes = EVP_CIPHER_is_a(key.suite().cipher, "AES-128-GCM") == 1 ||
                       EVP_CIPHER_is_a(key.suite().cipher, "AES-256-GCM") == 1;
    if (!isAes) return false;
    constexpr std::array<char, 4> kName{"tls"};
    if (::setsockopt(fd, IPPROTO_TCP, TCP_ULP, kName.data(), kName.size()) != 0) return false;
    // A socket with the module but without a key goes on sending what it is given as it is.
    if (key.key().size() == TLS_CIPHER_AES_GCM_128_KEY_SIZE)
        return give<tls12_crypto_info_aes_gcm_128>(fd, TLS_CIPHER_AES_GCM_128, key);
    return give<tls12_crypto_info_aes_gcm_256>(fd, TLS_CIPHER_AES_GCM_256, key);
}

void sendKernelCloseNotify(int fd) {
    std::array<char, 2> alert{1, 0};  // warning, close_notify
    iovec piece{alert.data(), alert.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(1)> control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = kSolTls;
    header->cmsg_type = TLS_SET_RECORD_TYPE;
    header->cmsg_len = CMSG_LEN(1);
    *CMSG_DATA(header) = static_cast<unsigned char>(RecordType::Alert);
    [[maybe_unused]] const ssize_t sent = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace tnet
