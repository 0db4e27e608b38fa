#include "tests/support/test_pki.h"

#include <openssl/bio.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "tnet/ssl/ssl_handle.h"

namespace tnet {
namespace {

using Spec = TestPki::Spec;

// Tests have no use for a half-made PKI.
void check(bool isGood, const char* what) {
    if (!isGood) throw std::runtime_error(std::string("TestPki: ") + what);
}

PrivateKeyPtr_t makeKey(int rsaBits) {
    PrivateKeyPtr_t key(rsaBits > 0 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<size_t>(rsaBits))
                                    : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
    check(key != nullptr, "key");
    return key;
}

std::string makeDirectory() {
    const char* const parent = std::getenv("TEST_TMPDIR");
    std::string pattern = std::string(parent != nullptr ? parent : "/tmp") + "/pki.XXXXXX";
    check(::mkdtemp(pattern.data()) != nullptr, "mkdtemp");
    return pattern;
}

std::string memoryOf(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    return {data, static_cast<size_t>(size)};
}

std::string pemOf(X509* certificate) {
    const BioPtr_t bio(BIO_new(BIO_s_mem()));
    check(PEM_write_bio_X509(bio.get(), certificate) == 1, "PEM_write_bio_X509");
    return memoryOf(bio.get());
}

std::string pemOf(EVP_PKEY* key) {
    const BioPtr_t bio(BIO_new(BIO_s_mem()));
    check(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
          "PEM_write_bio_PrivateKey");
    return memoryOf(bio.get());
}

void setName(X509* certificate, const std::string& commonName) {
    X509_NAME* const name = X509_get_subject_name(certificate);
    const auto add = [name](const char* field, const std::string& value) {
        const auto* const bytes = reinterpret_cast<const unsigned char*>(value.c_str());
        check(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, bytes, -1, -1, 0) == 1, field);
    };
    add("O", "Example");
    add("CN", commonName);
}

void addExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    check(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, value.c_str());
    X509_EXTENSION_free(extension);
}

X509Ptr_t makeUnsigned(EVP_PKEY* key, const std::string& commonName, std::chrono::seconds from,
                       std::chrono::seconds until) {
    X509Ptr_t certificate(X509_new());
    uint64_t serial = 0;
    check(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial)) == 1, "serial number");
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial);
    X509_set_version(certificate.get(), X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), from.count());
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), until.count());
    X509_set_pubkey(certificate.get(), key);
    setName(certificate.get(), commonName);
    return certificate;
}

void sign(X509* certificate, X509* issuer, EVP_PKEY* issuerKey) {
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    addExtension(certificate, issuer, NID_subject_key_identifier, "hash");
    if (issuer != certificate)
        addExtension(certificate, issuer, NID_authority_key_identifier, "keyid:always");
    check(X509_sign(certificate, issuerKey, EVP_sha256()) > 0, "X509_sign");
}

std::map<std::string, Spec> makeTable() {
    using enum TestPki::Issuer;
    using enum TestPki::Chain;
    constexpr auto kClient = TestPki::Purpose::Client;
    constexpr std::chrono::minutes kDay{60 * 24};
    const std::vector<std::string> localhost{"DNS:localhost", "IP:127.0.0.1", "IP:::1"};
    const std::vector<std::string> alice{"email:alice@example.org", "URI:spiffe://example.org/alice"};
    return {
        {"localhost", {.altNames = localhost}},
        {"localhost-rsa", {.altNames = localhost, .rsaBits = 2048}},
        {"localhost-small-rsa", {.altNames = localhost, .rsaBits = 1024}},
        {"example", {.commonName = "example.org", .altNames = {"DNS:example.org", "DNS:www.example.org"}}},
        {"wildcard", {.commonName = "*.example.org", .altNames = {"DNS:*.example.org"}}},
        {"partial", {.commonName = "w*.example.org", .altNames = {"DNS:w*.example.org"}}},
        {"other", {.commonName = "other.test", .altNames = {"DNS:other.test"}}},
        {"ip", {.commonName = "127.0.0.1", .altNames = {"IP:127.0.0.1"}}},
        {"common-name", {}},
        {"intermediate", {.altNames = localhost, .issuer = Intermediate}},
        {"full-chain", {.altNames = localhost, .issuer = Intermediate, .chain = WithRoot}},
        {"no-intermediate", {.altNames = localhost, .issuer = Intermediate, .chain = LeafOnly}},
        {"expired", {.altNames = localhost, .validFrom = -2 * kDay, .validUntil = -kDay}},
        {"not-yet-valid", {.altNames = localhost, .validFrom = kDay, .validUntil = 2 * kDay}},
        {"self-signed", {.altNames = localhost, .issuer = Self}},
        {"other-ca", {.altNames = localhost, .issuer = OtherCa}},
        {"client", {.commonName = "alice", .altNames = alice, .purpose = kClient}},
        {"client-rsa", {.commonName = "alice", .altNames = alice, .purpose = kClient, .rsaBits = 2048}},
        {"client-expired",
         {.commonName = "alice", .purpose = kClient, .validFrom = -2 * kDay, .validUntil = -kDay}},
        {"client-self-signed", {.commonName = "alice", .issuer = Self, .purpose = kClient}},
        {"client-other-ca", {.commonName = "alice", .issuer = OtherCa, .purpose = kClient}},
    };
}

}  // namespace

struct TestPki::Authority {
    // Null: signs itself.
    Authority(const std::string& commonName, const Authority* parent) : key(makeKey(0)) {
        constexpr std::chrono::hours kYear{24 * 365};
        certificate = makeUnsigned(key.get(), commonName, -kYear, kYear);
        const Authority* const issuer = parent != nullptr ? parent : this;
        addExtension(certificate.get(), certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
        addExtension(certificate.get(), certificate.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
        sign(certificate.get(), issuer->certificate.get(), issuer->key.get());
    }

    PrivateKeyPtr_t key;
    X509Ptr_t certificate;
};

const TestPki& TestPki::shared() {
    static const TestPki pki;
    return pki;
}

TestPki::TestPki()
    : m_directory(makeDirectory()),
      m_ca(std::make_unique<Authority>("tnet test CA", nullptr)),
      m_intermediate(std::make_unique<Authority>("tnet test intermediate CA", m_ca.get())),
      m_otherCa(std::make_unique<Authority>("somebody else's CA", nullptr)) {
    write("ca-root.pem", pemOf(m_ca->certificate.get()));
    write("ca-intermediate.pem", pemOf(m_intermediate->certificate.get()));
    write("ca-other.pem", pemOf(m_otherCa->certificate.get()));
}

TestPki::~TestPki() {
    std::error_code ignored;
    std::filesystem::remove_all(m_directory, ignored);
}

SslCertificateFiles TestPki::files(const std::string& name) const {
    static const std::map<std::string, Spec> table = makeTable();
    const std::lock_guard lock(m_mutex);
    const auto made = m_files.find(name);
    if (made != m_files.end()) return made->second;
    const auto described = table.find(name);
    check(described != table.end(), name.c_str());
    return issue(name, described->second);
}

SslCertificateFiles TestPki::issue(const std::string& name, const Spec& spec) const {
    const PrivateKeyPtr_t key = makeKey(spec.rsaBits);
    const X509Ptr_t certificate = makeUnsigned(key.get(), spec.commonName, spec.validFrom, spec.validUntil);
    X509* const leaf = certificate.get();
    addExtension(leaf, leaf, NID_basic_constraints, "critical,CA:FALSE");
    addExtension(leaf, leaf, NID_key_usage, "critical,digitalSignature");
    addExtension(leaf, leaf, NID_ext_key_usage,
                 spec.purpose == Purpose::Client ? "clientAuth" : "serverAuth");
    std::string altNames;
    for (const std::string& each : spec.altNames) altNames += (altNames.empty() ? "" : ",") + each;
    if (!altNames.empty()) addExtension(leaf, leaf, NID_subject_alt_name, altNames);

    const Authority* issuer = nullptr;
    if (spec.issuer == Issuer::Ca) issuer = m_ca.get();
    if (spec.issuer == Issuer::Intermediate) issuer = m_intermediate.get();
    if (spec.issuer == Issuer::OtherCa) issuer = m_otherCa.get();
    sign(leaf, issuer != nullptr ? issuer->certificate.get() : leaf,
         issuer != nullptr ? issuer->key.get() : key.get());

    std::string chain = pemOf(leaf);
    if (spec.issuer == Issuer::Intermediate && spec.chain != Chain::LeafOnly)
        chain += pemOf(m_intermediate->certificate.get());
    if (spec.chain == Chain::WithRoot) chain += pemOf(m_ca->certificate.get());

    const std::lock_guard lock(m_mutex);
    SslCertificateFiles files;
    files.chainFile = write(name + ".pem", chain);
    files.keyFile = write(name + ".key", pemOf(key.get()));
    m_files[name] = files;
    return files;
}

std::string TestPki::makeOcsp(const std::string& name, Ocsp kind) const {
    using TimePtr_t = std::unique_ptr<ASN1_TIME, SslDelete<ASN1_TIME_free>>;
    const BioPtr_t chain(BIO_new_file(files(name).chainFile.c_str(), "r"));
    const X509Ptr_t leaf(PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr));
    check(leaf != nullptr, name.c_str());
    const std::unique_ptr<OCSP_BASICRESP, SslDelete<OCSP_BASICRESP_free>> basic(OCSP_BASICRESP_new());
    const std::unique_ptr<OCSP_CERTID, SslDelete<OCSP_CERTID_free>> id(
        OCSP_cert_to_id(nullptr, leaf.get(), m_ca->certificate.get()));
    const TimePtr_t from(X509_gmtime_adj(nullptr, -7200));
    const TimePtr_t until(X509_gmtime_adj(nullptr, kind == Ocsp::Old ? -3600 : 3600));
    OCSP_basic_add1_status(basic.get(), id.get(), V_OCSP_CERTSTATUS_GOOD, 0, nullptr, from.get(),
                           until.get());
    check(
        OCSP_basic_sign(basic.get(), m_ca->certificate.get(), m_ca->key.get(), EVP_sha256(), nullptr, 0) == 1,
        "OCSP_basic_sign");
    const bool isGiven = kind != Ocsp::TryLater;
    const std::unique_ptr<OCSP_RESPONSE, SslDelete<OCSP_RESPONSE_free>> response(
        OCSP_response_create(isGiven ? OCSP_RESPONSE_STATUS_SUCCESSFUL : OCSP_RESPONSE_STATUS_TRYLATER,
                             isGiven ? basic.get() : nullptr));
    const BioPtr_t bio(BIO_new(BIO_s_mem()));
    check(i2d_OCSP_RESPONSE_bio(bio.get(), response.get()) == 1, "i2d_OCSP_RESPONSE_bio");
    return write(name + ".ocsp", memoryOf(bio.get()));
}

std::string TestPki::write(const std::string& name, std::string_view bytes) const {
    std::ofstream file(path(name), std::ios::binary | std::ios::trunc);
    file << bytes;
    file.close();
    check(file.good(), name.c_str());
    return path(name);
}

}  // namespace tnet
