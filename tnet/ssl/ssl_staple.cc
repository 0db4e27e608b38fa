#include "tnet/ssl/ssl_staple.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>

#include <ctime>
#include <memory>
#include <string_view>
#include <system_error>

#include "tnet/ssl/ssl_error.h"
#include "tnet/ssl/ssl_handle.h"

namespace tnet {
namespace {

using ResponsePtr_t = std::unique_ptr<OCSP_RESPONSE, SslDelete<OCSP_RESPONSE_free>>;
using BasicResponsePtr_t = std::unique_ptr<OCSP_BASICRESP, SslDelete<OCSP_BASICRESP_free>>;

// What is said of the certificate; null: nothing. Borrowed from `response`.
OCSP_SINGLERESP* findAnswer(OCSP_BASICRESP* response, X509* certificate) {
    for (int i = 0; i < OCSP_resp_count(response); ++i) {
        OCSP_SINGLERESP* const answer = OCSP_resp_get0(response, i);
        auto* const id = const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(answer));
        ASN1_INTEGER* serial = nullptr;
        OCSP_id_get0_info(nullptr, nullptr, nullptr, &serial, id);
        if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) == 0) return answer;
    }
    return nullptr;
}

int64_t secondsOf(const ASN1_GENERALIZEDTIME* time) {
    std::tm broken{};
    return ASN1_TIME_to_tm(time, &broken) == 1 ? static_cast<int64_t>(::timegm(&broken)) : 0;
}

Error makeStapleError(const std::string& file, std::string_view reason) {
    return {std::make_error_code(std::errc::invalid_argument), file + ": " + std::string(reason)};
}

Result<ResponsePtr_t> read(const std::string& file) {
    ERR_clear_error();
    const BioPtr_t bio(BIO_new_file(file.c_str(), "rb"));
    if (!bio) return makeOpensslError(file);
    ResponsePtr_t response(d2i_OCSP_RESPONSE_bio(bio.get(), nullptr));
    if (!response) return makeOpensslError(file);
    return response;
}

std::string encode(OCSP_RESPONSE* response) {
    unsigned char* bytes = nullptr;
    const int size = i2d_OCSP_RESPONSE(response, &bytes);
    if (size <= 0) return {};
    std::string der(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
    OPENSSL_free(bytes);
    return der;
}

}  // namespace

Result<SslStaple> SslStaple::load(const std::string& file, X509* certificate) {
    const auto response = read(file);
    if (!response) return response.error();
    const int status = OCSP_response_status(response->get());
    if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        return makeStapleError(
            file, std::string("the OCSP response's status is ") + OCSP_response_status_str(status));
    }
    const BasicResponsePtr_t basic(OCSP_response_get1_basic(response->get()));
    if (!basic) return makeOpensslError(file);
    OCSP_SINGLERESP* const answer = findAnswer(basic.get(), certificate);
    if (answer == nullptr) return makeStapleError(file, "the OCSP response is for another certificate");

    SslStaple staple;
    staple.m_der = encode(response->get());
    ASN1_GENERALIZEDTIME* nextUpdate = nullptr;
    OCSP_single_get0_status(answer, nullptr, nullptr, nullptr, &nextUpdate);
    if (nextUpdate != nullptr) staple.m_until = secondsOf(nextUpdate);
    return staple;
}

}  // namespace tnet
