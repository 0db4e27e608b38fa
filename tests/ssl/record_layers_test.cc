// What a server does with records that a peer may not, or may barely, send after a first request: compact connections
// and OpenSSL's own record layer side by side. Where both agree it is right; the few rows where compact ones are
// stricter say so.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/scripted_transport.h"
#include "tests/support/test_pki.h"
#include "tests/support/tls_client.h"
#include "tnet/byte_buffer.h"
#include "tnet/ssl/ssl_codec.h"
#include "tnet/ssl/ssl_transport.h"
#include "tnet/ssl/tls_key.h"

namespace tnet {
namespace {

constexpr int kNoFd = -1;
constexpr char kChangeCipherSpec = 20;
constexpr char kAlert = 21;
constexpr char kHandshake = 22;
constexpr char kData = 23;

struct Secrets {
    std::string client{};
    std::string server{};
};
Secrets* t_secrets = nullptr;  // of the handshake under way

std::string fromHex(std::string_view hex) {
    std::string bytes;
    for (size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    return bytes;
}

void onKeyLog(const SSL*, const char* line) {
    const std::string_view text(line);
    const std::string secret = fromHex(text.substr(text.rfind(' ') + 1));
    if (text.starts_with("CLIENT_TRAFFIC_SECRET_0 ")) t_secrets->client = secret;
    if (text.starts_with("SERVER_TRAFFIC_SECRET_0 ")) t_secrets->server = secret;
}

SslCtxPtr_t makeServerCtx(bool isCompact) {
    SslCtxPtr_t ctx(SSL_CTX_new(TLS_server_method()));
    const SslCertificateFiles files = TestPki::shared().files("localhost");
    EXPECT_EQ(SSL_CTX_use_certificate_chain_file(ctx.get(), files.chainFile.c_str()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey_file(ctx.get(), files.keyFile.c_str(), SSL_FILETYPE_PEM), 1);
    SSL_CTX_set_options(ctx.get(), SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_num_tickets(ctx.get(), 0);
    if (isCompact) SslTransport::prepareCompact(ctx.get());
    return ctx;
}

std::span<const uint8_t> bytesOf(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// A client that has said "ping" and read "pong", and from then on sends what a case says.
class Peer {
public:
    // The whole inner plaintext of a record: content, its type, zeros (RFC 8446 §5.2).
    void sendInner(std::string inner) {
        const auto type = static_cast<RecordType>(inner.empty() ? 0 : inner.back());
        if (inner.empty())
            return sendRaw(kData, std::string(16, '\0'));  // nothing but a tag, and a wrong one
        inner.pop_back();
        const iovec piece{inner.data(), inner.size()};
        PlainPieces plain(&piece, 1);
        ByteBuffer record;
        EXPECT_TRUE(m_write->seal(type, plain, inner.size(), record));
        m_wire += record.view();
    }
    void send(char type, const std::string& content, size_t zeros = 0) {
        sendInner(content + type + std::string(zeros, '\0'));
    }
    void sendRaw(char type, const std::string& body, char minor = 3) {
        m_wire +=
            std::string{type, 3, minor, static_cast<char>(body.size() >> 8), static_cast<char>(body.size())} +
            body;
    }
    void sendWire(const std::string& bytes) { m_wire += bytes; }
    void takeNextKey() { m_write->update(); }
    void spoilLast() { m_wire.back() = static_cast<char>(m_wire.back() ^ 1); }

private:
    friend std::string whatBecomesOf(bool, const std::function<void(Peer&)>&, size_t);
    std::unique_ptr<TlsKey> m_write{};
    std::string m_wire{};
};

std::string hexOf(std::string_view bytes) {
    std::string text;
    for (const char byte : bytes) {
        text += "0123456789abcdef"[static_cast<uint8_t>(byte) >> 4];
        text += "0123456789abcdef"[static_cast<uint8_t>(byte) & 15];
    }
    return text;
}

// The records of `wire`, in words.
std::string inWords(TlsKey& key, std::string_view wire) {
    std::string words;
    while (!wire.empty()) {
        const size_t size = firstRecordBytes(wire);
        if (size <= kRecordHeaderBytes + kRecordTagBytes) return words + " [no record]";
        std::string plain(size, '\0');
        const auto content = key.open(wire.substr(0, size), plain.data());
        wire.remove_prefix(size);
        if (!content) return words + " [not authentic]";
        const std::string_view bytes = std::string_view(plain).substr(0, content->bytes);
        switch (content->type) {
            case RecordType::Alert: words += " alert " + std::to_string(static_cast<int>(bytes[1])); break;
            case RecordType::Handshake: words += " handshake " + hexOf(bytes); break;
            default: words += " data " + std::string(bytes); break;
        }
        if (content->type == RecordType::Handshake) key.update();
    }
    return words;
}

// What the server delivered, how it ended, and what it wrote, the answer "after" included. `cut`: how many bytes of
// the wire arrive at once.
std::string whatBecomesOf(bool isCompact, const std::function<void(Peer&)>& act, size_t cut) {
    static const SslCtxPtr_t ordinary = makeServerCtx(false);
    static const SslCtxPtr_t compact = makeServerCtx(true);
    const auto shared = std::make_shared<SslTransport::Shared>();
    shared->isCompact = isCompact;
    const auto lower = ScriptedTransport::create();
    SslPtr_t ssl(SSL_new(isCompact ? compact.get() : ordinary.get()));
    SSL_set_accept_state(ssl.get());
    const TransportPtr_t server = SslTransport::create(std::move(ssl), shared, lower->handOut());

    Secrets secrets;
    t_secrets = &secrets;
    TlsClient client(TlsVersion::Tls13, [](SSL_CTX* ctx) { SSL_CTX_set_keylog_callback(ctx, onKeyLog); });
    IoStatus status = server->handshake(kNoFd).status;
    for (int i = 0; i < 5 && status == IoStatus::WantRead; ++i) {
        lower->feed(client.takeOutput());
        status = server->handshake(kNoFd).status;
        client.feed(lower->takeWritten());
    }
    t_secrets = nullptr;
    EXPECT_EQ(status, IoStatus::Ok);
    EXPECT_EQ(shared->counters.read().compact, isCompact ? 1u : 0u);

    std::string room(65536, '\0');
    const auto write = [&server](std::string text) {
        const iovec piece{text.data(), text.size()};
        return server->write(kNoFd, &piece, 1).status == IoStatus::Ok;
    };
    client.send("ping");
    lower->feed(client.takeOutput());
    EXPECT_EQ(server->read(kNoFd, room.data(), room.size()).bytes, 4u);
    EXPECT_TRUE(write("pong"));
    client.feed(lower->takeWritten());
    EXPECT_EQ(client.takeReceived(), "pong");

    const TlsSuite* const suite =
        TlsSuite::find(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(client.ssl())));
    Peer peer;
    peer.m_write = std::make_unique<TlsKey>(*suite, bytesOf(secrets.client), 1);
    TlsKey reader(*suite, bytesOf(secrets.server), 1);
    act(peer);

    std::string delivered;
    for (std::string_view wire = peer.m_wire; !wire.empty(); wire.remove_prefix(std::min(cut, wire.size()))) {
        lower->feed(wire.substr(0, cut));
        do {
            const IoResult read = server->read(kNoFd, room.data(), room.size());
            status = read.status;
            delivered.append(room.data(), read.bytes);
        } while (status == IoStatus::Ok || (status == IoStatus::WantRead && server->hasPendingInput()));
        if (status != IoStatus::WantRead) break;
    }
    std::string words = delivered.size() > 40 ? std::to_string(delivered.size()) + " bytes" : delivered;
    words += status == IoStatus::Failed ? ", failed," : status == IoStatus::End ? ", end," : ", open,";
    if (status != IoStatus::Failed) write("after");
    return words + inWords(reader, lower->takeWritten());
}

struct Case {
    std::string name;
    std::function<void(Peer&)> act;
    const char* instead = nullptr;  // what compact connections do where OpenSSL is more lenient than the RFC
};

std::string message(char type, const std::string& body, size_t length) {
    return std::string{type, static_cast<char>(length >> 16), static_cast<char>(length >> 8),
                       static_cast<char>(length)} +
           body;
}
std::string message(char type, const std::string& body) { return message(type, body, body.size()); }

std::string numbers(std::initializer_list<int> values) {
    std::string bytes;
    for (const int value : values) bytes += static_cast<char>(value);
    return bytes;
}

std::vector<Case> makeCases() {
    constexpr char kKeyUpdate = 24;
    std::vector<Case> cases;
    const auto add = [&cases](const std::string& name, std::function<void(Peer&)> act,
                              const char* instead = nullptr) {
        cases.push_back({name, std::move(act), instead});
    };
    // RFC 8446 §5.4: "the full encoded TLSInnerPlaintext MUST NOT exceed 2^14 + 1 octets".
    const auto ifTooLong = [](size_t inner) { return inner > 16385 ? ", failed, alert 22" : nullptr; };
    // Content types and lengths, each followed by data that shows whether the connection goes on.
    for (const int type : {0, 1, 19, 24, 25, 64, 255}) {
        for (const size_t size : {0, 1, 5, 100}) {
            add("content type " + std::to_string(type) + ", " + std::to_string(size) + " bytes",
                [type, size](Peer& peer) {
                    peer.send(static_cast<char>(type), std::string(size, 'x'));
                    peer.send(kData, "next");
                });
        }
    }
    for (const size_t zeros : {1, 2, 16, 16384, 16385, 16386, 16600}) {
        add(
            "nothing but zeros, " + std::to_string(zeros),
            [zeros](Peer& peer) {
                peer.sendInner(std::string(zeros, '\0'));
                peer.send(kData, "next");
            },
            ifTooLong(zeros));
    }
    for (const size_t size : {0, 1, 10, 16000, 16383, 16384, 16385, 16600}) {
        for (const size_t inner : {0, 100, 16384, 16385, 16386, 16600, 16624, 16625}) {
            if (inner != 0 && inner < size + 1) continue;
            add(
                "data of " + std::to_string(size) + " in an inner plaintext of " + std::to_string(inner),
                [size, inner](Peer& peer) {
                    peer.send(kData, std::string(size, 'x'), inner == 0 ? 0 : inner - size - 1);
                    peer.send(kData, "next");
                },
                ifTooLong(inner));
        }
    }
    // Alerts: length, level, description.
    for (const std::string& content : {numbers({}),
                                       numbers({1}),
                                       numbers({2}),
                                       numbers({1, 0}),
                                       numbers({2, 0}),
                                       numbers({0, 0}),
                                       numbers({3, 0}),
                                       numbers({1, 0, 0}),
                                       numbers({1, 0, 1, 0}),
                                       numbers({2, 20, 2, 20}),
                                       numbers({1, 90}),
                                       numbers({2, 90}),
                                       numbers({1, 42}),
                                       numbers({2, 42}),
                                       numbers({3, 42}),
                                       numbers({0, 42}),
                                       numbers({1, 255}),
                                       numbers({2, 255}),
                                       numbers({1, 100}),
                                       numbers({1, 1}),
                                       numbers({1, 0, 0, 0, 0})}) {
        for (const size_t zeros : {0, 40}) {
            add("alert " + hexOf(content) + ", padding " + std::to_string(zeros),
                [content, zeros](Peer& peer) {
                    peer.send(kData, "data");
                    peer.send(kAlert, content, zeros);
                    peer.send(kData, "next");
                });
        }
    }
    add("alert in two records", [](Peer& peer) {
        peer.send(kAlert, numbers({1}));
        peer.send(kAlert, numbers({0}));
        peer.send(kData, "next");
    });
    for (const int count : {2, 4, 5, 6, 32, 33}) {
        add("user_canceled " + std::to_string(count) + " times", [count](Peer& peer) {
            for (int i = 0; i < count; ++i) peer.send(kAlert, numbers({1, 90}));
            peer.send(kData, "next");
        });
        add("user_canceled between data, " + std::to_string(count) + " times", [count](Peer& peer) {
            for (int i = 0; i < count; ++i) {
                peer.send(kAlert, numbers({1, 90}));
                peer.send(kData, "d");
            }
        });
        add("empty data " + std::to_string(count) + " times", [count](Peer& peer) {
            for (int i = 0; i < count; ++i) peer.send(kData, "");
            peer.send(kData, "next");
        });
        add("empty data with padding " + std::to_string(count) + " times", [count](Peer& peer) {
            for (int i = 0; i < count; ++i) peer.send(kData, "", 20);
            peer.send(kData, "next");
        });
        for (const char request : {'\0', '\1'}) {
            add("KeyUpdate " + std::to_string(count) + " times, asks " + std::to_string(request),
                [count, request](Peer& peer) {
                    for (int i = 0; i < count; ++i) {
                        peer.send(kHandshake, message(kKeyUpdate, {request}));
                        peer.takeNextKey();
                    }
                    peer.send(kData, "next");
                });
        }
    }
    // KeyUpdate: values, lengths, cuts, company.
    for (const int value : {0, 1, 2, 255}) {
        const std::string update = message(kKeyUpdate, numbers({value}));
        for (const size_t zeros : {0, 40}) {
            add("KeyUpdate " + std::to_string(value) + ", padding " + std::to_string(zeros),
                [update, zeros](Peer& peer) {
                    peer.send(kHandshake, update, zeros);
                    peer.takeNextKey();
                    peer.send(kData, "next");
                });
        }
        for (size_t at = 1; at < update.size(); ++at) {
            add("KeyUpdate " + std::to_string(value) + " cut at " + std::to_string(at),
                [update, at](Peer& peer) {
                    peer.send(kHandshake, update.substr(0, at));
                    peer.send(kHandshake, update.substr(at));
                    peer.takeNextKey();
                    peer.send(kData, "next");
                });
        }
        add("KeyUpdate " + std::to_string(value) + ", a byte a record", [update](Peer& peer) {
            for (const char byte : update) peer.send(kHandshake, {byte});
            peer.takeNextKey();
            peer.send(kData, "next");
        });
        add("KeyUpdate " + std::to_string(value) + ", two bytes too many", [update](Peer& peer) {
            peer.send(kHandshake, update + "xx");
            peer.takeNextKey();
            peer.send(kData, "next");
        });
        add("KeyUpdate " + std::to_string(value) + ", cut, and a byte too many", [update](Peer& peer) {
            peer.send(kHandshake, update.substr(0, 2));
            peer.send(kHandshake, update.substr(2) + "x");
            peer.takeNextKey();
            peer.send(kData, "next");
        });
        add("KeyUpdate " + std::to_string(value) + " twice in a record", [update](Peer& peer) {
            peer.send(kHandshake, update + update);
            peer.takeNextKey();
            peer.send(kData, "next");
        });
    }
    for (size_t at = 1; at < 5; ++at) {
        const std::string update = message(kKeyUpdate, numbers({1}));
        // RFC 8446 §5.1: "there MUST NOT be any other records between them".
        const auto between = [&add, update, at](const std::string& what,
                                                const std::function<void(Peer&)>& act) {
            add(
                "KeyUpdate cut at " + std::to_string(at) + ", " + what + " between",
                [update, at, act](Peer& peer) {
                    peer.send(kHandshake, update.substr(0, at));
                    act(peer);
                    peer.send(kHandshake, update.substr(at));
                    peer.takeNextKey();
                    peer.send(kData, "next");
                },
                ", failed, alert 10");
        };
        between("data", [](Peer& peer) { peer.send(kData, "data"); });
        between("empty data", [](Peer& peer) { peer.send(kData, ""); });
        between("an empty handshake record", [](Peer& peer) { peer.send(kHandshake, ""); });
        between("a warning", [](Peer& peer) { peer.send(kAlert, numbers({1, 90})); });
        between("close_notify", [](Peer& peer) { peer.send(kAlert, numbers({1, 0})); });
        between("a fatal alert", [](Peer& peer) { peer.send(kAlert, numbers({2, 42})); });
        between("an alert of one byte", [](Peer& peer) { peer.send(kAlert, numbers({1})); });
        between("ChangeCipherSpec", [](Peer& peer) { peer.sendRaw(kChangeCipherSpec, "\1"); });
    }
    for (const size_t length : {0, 2, 3, 255, 256, 16384, 65536, 0xffffff}) {
        for (const size_t there : {size_t{0}, size_t{1}, size_t{2}, length}) {
            if (there > 256 || there > length) continue;
            add("KeyUpdate of length " + std::to_string(length) + ", " + std::to_string(there) + " there",
                [length, there](Peer& peer) {
                    peer.send(kHandshake, message(kKeyUpdate, std::string(there, '\0'), length));
                    peer.send(kData, "next");
                });
        }
    }
    // Other handshake messages.
    add("an empty handshake record", [](Peer& peer) {
        peer.send(kHandshake, "");
        peer.send(kData, "next");
    });
    for (const int type : {0, 1, 2, 3, 4, 5, 6, 8, 11, 13, 14, 15, 20, 22, 25, 67, 254, 255}) {
        for (const size_t size : {0, 1, 32, 200}) {
            add("handshake message " + std::to_string(type) + " of " + std::to_string(size),
                [type, size](Peer& peer) {
                    peer.send(kHandshake, message(static_cast<char>(type), std::string(size, '\0')));
                    peer.send(kData, "next");
                });
        }
        add("one byte of handshake message " + std::to_string(type), [type](Peer& peer) {
            peer.send(kHandshake, numbers({type}));
            peer.send(kData, "next");
        });
    }
    // Records that are not protected.
    for (const int type : {0, 20, 21, 22, 23, 24, 71, 128, 255}) {
        for (const std::string& body : {numbers({}), numbers({1}), numbers({1, 0}), numbers({2, 42}),
                                        std::string(16, 'x'), std::string(17, 'x'), std::string(40, 'x')}) {
            add("unprotected record of type " + std::to_string(type) + ": " + hexOf(body),
                [type, body](Peer& peer) {
                    peer.sendRaw(static_cast<char>(type), body);
                    peer.send(kData, "next");
                });
        }
    }
    for (const char minor : {'\0', '\1', '\2', '\4', '\xff'}) {
        add("record version 3." + std::to_string(minor), [minor](Peer& peer) {
            peer.sendRaw(kData, std::string(40, 'x'), minor);
            peer.send(kData, "next");
        });
    }
    for (const int major : {0, 2, 4}) {
        add("record version " + std::to_string(major) + ".3", [major](Peer& peer) {
            peer.sendWire(numbers({23, major, 3, 0, 20}) + std::string(20, 'x'));
            peer.send(kData, "next");
        });
    }
    for (const int size : {16640, 16641, 16656, 18432, 65535}) {
        add("header of " + std::to_string(size) + " alone", [size](Peer& peer) {
            peer.sendWire(numbers({23, 3, 3, size >> 8, size & 255}));
        });
        add("record of " + std::to_string(size), [size](Peer& peer) {
            peer.sendRaw(kData, std::string(static_cast<size_t>(size), 'x'));
            peer.send(kData, "next");
        });
    }
    add("not authentic", [](Peer& peer) {
        peer.send(kData, "data");
        peer.send(kData, "spoilt");
        peer.spoilLast();
        peer.send(kData, "next");
    });
    add("an old key", [](Peer& peer) {
        peer.send(kHandshake, message(kKeyUpdate, numbers({0})));
        peer.send(kData, "next");
    });
    return cases;
}

// RFC 8446 §5.1, §5.4, §6: a KeyUpdate in two records was refused, malformed alerts were not answered,
// nothing but zeros was a bad_record_mac, an inner plaintext of 16,600 bytes was taken.
TEST(RecordLayersTest, CompactConnectionsDoWithEachRecordWhatOpensslDoes) {
    size_t count = 0;
    for (const Case& each : makeCases()) {
        const std::string expected =
            each.instead != nullptr ? each.instead : whatBecomesOf(false, each.act, SIZE_MAX);
        EXPECT_EQ(whatBecomesOf(true, each.act, SIZE_MAX), expected) << each.name;
        ++count;
    }
    EXPECT_GT(count, 300u);
}

// However the bytes are cut on their way.
TEST(RecordLayersTest, TheCutsOfTheWireChangeNothing) {
    size_t number = 0;
    for (const Case& each : makeCases()) {
        const bool isLong = each.name.find("16") != std::string::npos;
        if (isLong || ++number % 4 != 0) continue;
        const std::string expected = whatBecomesOf(true, each.act, SIZE_MAX);
        for (const size_t cut : {7, 1}) {
            EXPECT_EQ(whatBecomesOf(true, each.act, cut), expected) << each.name << ", cut " << cut;
            EXPECT_EQ(whatBecomesOf(false, each.act, cut), whatBecomesOf(false, each.act, SIZE_MAX))
                << each.name;
        }
    }
}

}  // namespace
}  // namespace tnet
