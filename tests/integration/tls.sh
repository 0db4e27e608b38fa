# Certificates for a test over TLS, which the server shows and all clients that are started from here trust: to be
# sourced behind server.sh. With flags of a server in `tls`, start() starts it so.

need openssl

readonly kPki=$kDir/pki
tools/dev-cert --dir "$kPki" >/dev/null
tls=(--cert "$kPki/cert.pem" --key "$kPki/key.pem")
export CURL_CA_BUNDLE=$kPki/ca.pem NODE_EXTRA_CA_CERTS=$kPki/ca.pem SSL_CERT_FILE=$kPki/ca.pem

exchange() { openssl s_client -quiet -verify_quiet -verify_return_error -connect "$authority"; }

start_unread() {
    rm -f "$kDir/unread"
    mkfifo "$kDir/unread"
    exec 4<>"$kDir/unread"  # which keeps it open
    exec 3> >(exec openssl s_client -quiet -connect "$authority" >"$kDir/unread" 2>/dev/null)
    unread=$!
}
end_unread() {
    kill "$unread" 2>/dev/null || true
    exec 3>&- 4>&-
}
