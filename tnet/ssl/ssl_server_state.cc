#include "tnet/ssl/ssl_server_state.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <vector>

#include "tnet/ssl/openssl_compat.h"
#include "tnet/ssl/ssl_certificate.h"
#include "tnet/ssl/ssl_defaults.h"
#include "tnet/ssl/ssl_error.h"
#include "tnet/ssl/ssl_name_table.h"

namespace tnet {
namespace {

// RFC 8446 §4.6.1: no client keeps a ticket for longer.
constexpr std::chrono::seconds kMaxTicketLifetime = std::chrono::hours(24 * 7);

// Certificates for the same names whose keys are of different types: the client's algorithms decide.
struct Identity {
    std::vector<SslCertificate> certificates{};
};

// What the callbacks of an SSL_CTX use. It owns this.
struct ServerData {
    std::vector<Identity> identities{};  // the first one is the SSL_CTX's own
    SslNameTable names{};                // to the index in identities
    std::string protocols{};             // as TLS writes them
    SslTicketKeysPtr_t ticketKeys{};
};

int dataIndex() {
    static const int index = SSL_CTX_get_ex_new_index(
        0, nullptr, nullptr, nullptr,
        [](void*, void* data, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<ServerData*>(data); });
    return index;
}

const ServerData& dataOf(SSL* ssl) {
    return *static_cast<const ServerData*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), dataIndex()));
}

// --- Callbacks ---

std::optional<size_t> findIdentity(SSL* ssl) {
    const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    return name != nullptr ? dataOf(ssl).names.find(name) : std::nullopt;
}

// Only says whether the name is known (RFC 6066 §3); the certificate is chosen where it is needed.
int onServerName(SSL* ssl, int*, void*) {
    return findIdentity(ssl) ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

// Not called when a session is resumed.
int onCertificateNeeded(SSL* ssl, void*) {
    const size_t index = findIdentity(ssl).value_or(0);
    if (index == 0) return 1;
    SSL_certs_clear(ssl);
    const std::vector<SslCertificate>& certificates = dataOf(ssl).identities[index].certificates;
    return std::all_of(certificates.begin(), certificates.end(),
                       [ssl](const SslCertificate& each) { return each.use(ssl); })
               ? 1
               : 0;
}

const SslStaple* findStaple(SSL* ssl) {
    const X509* const shown = SSL_get_certificate(ssl);
    for (const SslCertificate& each : dataOf(ssl).identities[findIdentity(ssl).value_or(0)].certificates) {
        if (each.leaf() == shown) return &each.staple();
    }
    return nullptr;
}

int onStatusRequest(SSL* ssl, void*) {
    const SslStaple* const staple = findStaple(ssl);
    if (staple == nullptr || !staple->isCurrent(std::time(nullptr))) return SSL_TLSEXT_ERR_NOACK;
    void* const copy = OPENSSL_memdup(staple->der().data(), staple->der().size());
    if (copy == nullptr) return SSL_TLSEXT_ERR_NOACK;
    // The macro for it has no type for the copy, which it takes over.
    SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP, static_cast<long>(staple->der().size()), copy);
    return SSL_TLSEXT_ERR_OK;
}

int onProtocols(SSL* ssl, const unsigned char** chosen, unsigned char* chosenSize,
                const unsigned char* offered, unsigned int offeredSize, void*) {
    const std::string& ours = dataOf(ssl).protocols;
    unsigned char* found = nullptr;
    const int outcome =
        SSL_select_next_proto(&found, chosenSize, reinterpret_cast<const unsigned char*>(ours.data()),
                              static_cast<unsigned int>(ours.size()), offered, offeredSize);
    // RFC 7301 §3.2: no_application_protocol.
    if (outcome != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

int onTicketKey(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                int isEncrypting) {
    SslTicketKeys& keys = *dataOf(ssl).ticketKeys;
    if (isEncrypting == 1) return keys.encrypt(name, iv, cipher, mac);
    const int outcome = keys.decrypt(name, iv, cipher, mac);
    // Clients use a ticket of TLS 1.3 once (RFC 8446 §C.4): they always need the next one.
    const bool isSpent = outcome == SslTicketKeys::kGood && SSL_version(ssl) == TLS1_3_VERSION;
    return isSpent ? SslTicketKeys::kRenew : outcome;
}

// --- Which name a session was made for ---

// The first name of a server_name extension (RFC 6066 §3); empty if it is malformed, which OpenSSL refuses later.
std::string_view nameIn(std::string_view extension) {
    constexpr size_t kHeaderBytes = 5;  // the list's length, the type, the name's length
    if (extension.size() < kHeaderBytes || extension[2] != TLSEXT_NAMETYPE_host_name) return {};
    const size_t size =
        static_cast<size_t>(static_cast<uint8_t>(extension[3])) << 8 | static_cast<uint8_t>(extension[4]);
    extension.remove_prefix(kHeaderBytes);
    return size <= extension.size() ? extension.substr(0, size) : std::string_view();
}

// What the ClientHello that OpenSSL is looking at asks for: tickets are decrypted before its extensions are read.
thread_local std::string_view t_askedName;

int onClientHello(SSL* ssl, int*, void*) {
    t_askedName = {};
    const unsigned char* extension = nullptr;
    size_t size = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &extension, &size) == 1)
        t_askedName = nameIn({reinterpret_cast<const char*>(extension), size});
    return SSL_CLIENT_HELLO_SUCCESS;
}

bool isSameName(std::string_view one, std::string_view other) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                      [lower](char a, char b) { return lower(a) == lower(b); });
}

// A ticket knows which name was asked for, also one that no certificate has.
int onTicketMade(SSL* ssl, void*) {
    if (SSL_session_reused(ssl) == 1) return 1;  // it goes on, and knows already
    const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const std::string_view asked = name != nullptr ? name : "";
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), asked.data(), asked.size());
}

bool isForAskedName(SSL_SESSION* session) {
    void* bytes = nullptr;
    size_t size = 0;
    if (SSL_SESSION_get0_ticket_appdata(session, &bytes, &size) != 1) return false;
    return isSameName({static_cast<const char*>(bytes), size}, t_askedName);
}

// RFC 6066 §3: no session goes on under another name than it was made for. And a client that resumes shows no
// certificate; the one it has shown may have expired since.
SSL_TICKET_RETURN onTicketDecrypted(SSL*, SSL_SESSION* session, const unsigned char*, size_t,
                                    SSL_TICKET_STATUS status, void*) {
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    const X509* const peer = SSL_SESSION_get0_peer(session);
    const bool hasExpired = peer != nullptr && !isAfterNow(X509_get0_notAfter(peer));
    if (hasExpired || !isForAskedName(session)) return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

// The macros for these have C casts.
void setCallbacks(SSL_CTX* ctx) {
    SSL_CTX_callback_ctrl(ctx, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, reinterpret_cast<void (*)()>(onServerName));
    SSL_CTX_callback_ctrl(ctx, SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB,
                          reinterpret_cast<void (*)()>(onStatusRequest));
    SSL_CTX_set_cert_cb(ctx, onCertificateNeeded, nullptr);
}

// --- Making ---

Error makeSettingError(const std::string& what) { return makeError(std::errc::invalid_argument, what); }

Status checkSettings(const SslServerSettings& settings) {
    if (settings.certificates.empty()) return makeSettingError("certificates: there must be one");
    const bool wantsClientCa = settings.clientCertificate != ClientCertificate::None;
    if (wantsClientCa && settings.clientCaFile.empty())
        return makeSettingError("clientCaFile: clientCertificate needs one");
    if (settings.ticketLifetime < std::chrono::seconds::zero() ||
        settings.ticketLifetime > kMaxTicketLifetime)
        return makeSettingError("ticketLifetime: " + std::to_string(settings.ticketLifetime.count()) + " s");
    return Done{};
}

// Joins a certificate to the identity with the same names, if that has none with such a key.
void addCertificate(ServerData& data, SslCertificate certificate) {
    for (Identity& identity : data.identities) {
        const std::vector<SslCertificate>& others = identity.certificates;
        const bool isTaken = std::any_of(others.begin(), others.end(), [&](const SslCertificate& other) {
            return other.keyType() == certificate.keyType();
        });
        if (isTaken || others.front().dnsNames() != certificate.dnsNames()) continue;
        identity.certificates.push_back(std::move(certificate));
        return;
    }
    const size_t index = data.identities.size();
    for (const std::string& name : certificate.dnsNames()) data.names.add(name, index);
    data.identities.emplace_back().certificates.push_back(std::move(certificate));
}

Status loadIdentities(SSL_CTX* ctx, ServerData& data, const std::vector<SslCertificateFiles>& files) {
    // What OpenSSL has against a certificate is heard now, not when a client asks for it.
    const SslPtr_t trial(SSL_new(ctx));
    if (!trial) return makeOpensslError("SSL_new");
    for (const SslCertificateFiles& each : files) {
        auto certificate = SslCertificate::load(each);
        if (!certificate) return certificate.error();
        if (!certificate->use(trial.get())) return makeOpensslError(each.chainFile);
        addCertificate(data, std::move(*certificate));
    }
    for (const SslCertificate& each : data.identities.front().certificates) {
        const Status used = each.use(ctx);
        if (!used) return used.error();
    }
    return Done{};
}

// A session that was begun under other rules for clients' certificates is not to go on.
Status bindSessions(SSL_CTX* ctx, ClientCertificate mode, const std::vector<X509Ptr_t>& clientCas) {
    std::string rules(1, static_cast<char>(mode));
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned int size = 0;
    for (const X509Ptr_t& each : clientCas) {
        if (X509_digest(each.get(), EVP_sha256(), digest.data(), &size) != 1)
            return makeOpensslError("SHA256");
        rules.append(reinterpret_cast<const char*>(digest.data()), size);
    }
    if (EVP_Digest(rules.data(), rules.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1 ||
        SSL_CTX_set_session_id_context(ctx, digest.data(), SSL_MAX_SID_CTX_LENGTH) != 1)
        return makeOpensslError("session id context");
    return Done{};
}

Status setClientCertificates(SSL_CTX* ctx, const SslServerSettings& settings) {
    if (settings.clientCertificate == ClientCertificate::None)
        return bindSessions(ctx, settings.clientCertificate, {});
    const auto cas = loadCertificates(settings.clientCaFile);
    if (!cas) return cas.error();
    const Status trusted = trustFile(ctx, *cas, settings.clientCaFile);
    if (!trusted) return trusted.error();
    for (const X509Ptr_t& each : *cas) {
        if (SSL_CTX_add_client_CA(ctx, each.get()) != 1) return makeOpensslError(settings.clientCaFile);
    }
    const bool isRequired = settings.clientCertificate == ClientCertificate::Require;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (isRequired ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
    return bindSessions(ctx, settings.clientCertificate, *cas);
}

void setSessions(SSL_CTX* ctx, const SslServerSettings& settings, bool hasTickets) {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, hasTickets ? 1 : 0);
    if (!hasTickets) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        return;
    }
    SSL_CTX_set_timeout(ctx, static_cast<long>(settings.ticketLifetime.count()));
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, onTicketKey);
    SSL_CTX_set_client_hello_cb(ctx, onClientHello, nullptr);
    SSL_CTX_set_session_ticket_cb(ctx, onTicketMade, onTicketDecrypted, nullptr);
}

}  // namespace

Result<std::shared_ptr<const SslServerState>> SslServerState::create(const SslServerSettings& settings,
                                                                     SslTicketKeysPtr_t ticketKeys) {
    const Status checked = checkSettings(settings);
    if (!checked) return checked.error();
    auto ctx =
        makeSslCtx(TLS_server_method(), {settings.minVersion, settings.ciphers, settings.ciphersuites});
    if (!ctx) return ctx.error();
    auto protocols = encodeProtocols(settings.protocols);
    if (!protocols) return protocols.error();

    auto data = std::make_unique<ServerData>();
    data->protocols = std::move(*protocols);
    data->ticketKeys = std::move(ticketKeys);
    const Status loaded = loadIdentities(ctx->get(), *data, settings.certificates);
    if (!loaded) return loaded.error();
    const Status asking = setClientCertificates(ctx->get(), settings);
    if (!asking) return asking.error();

    setSessions(ctx->get(), settings, data->ticketKeys != nullptr);
    setCallbacks(ctx->get());
    if (!data->protocols.empty()) SSL_CTX_set_alpn_select_cb(ctx->get(), onProtocols, nullptr);
    if (SSL_CTX_set_ex_data(ctx->get(), dataIndex(), data.get()) != 1) return makeOpensslError("SSL_CTX");
    std::ignore = data.release();
    return std::shared_ptr<const SslServerState>(new SslServerState(std::move(*ctx)));
}

SslPtr_t SslServerState::newSsl() const {
    SslPtr_t ssl(SSL_new(m_ctx.get()));
    if (!ssl) throw std::bad_alloc();
    SSL_set_accept_state(ssl.get());
    return ssl;
}

}  // namespace tnet
