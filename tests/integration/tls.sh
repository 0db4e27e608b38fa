# Certificates for a test over TLS, which the server shows and all clients that are started from here trust: to be
# sourced behind server.sh. With flags of a server in `tls`, start() starts it so.

need openssl

readonly kPki=$kDir/pki
tools/dev-cert --dir "$kPki" >/dev/null
tls=(--cert "$kPki/cert.pem" --key "$kPki/key.pem")
unset SSL_CERT_DIR
export CURL_CA_BUNDLE=$kPki/ca.pem NODE_EXTRA_CA_CERTS=$kPki/ca.pem SSL_CERT_FILE=$kPki/ca.pem

exchange() { openssl s_client -quiet -servername localhost -verify_quiet -verify_return_error -connect "$authority"; }

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

# new_certificate <name> <subject> <extensions> [<authority> [<kind of key>]]: $kPki/<name>.pem and $kPki/<name>.key,
# signed by $kPki/ca.pem or that one.
new_certificate() {
    local authority=$kPki/${4:-ca} key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256)
    [[ ${5-} != rsa ]] || key=(-newkey rsa:2048)
    openssl req -x509 "${key[@]}" -noenc -keyout "$kPki/$1.key" -out "$kPki/$1.pem" \
        -subj "$2" -days 90 -CA "$authority.pem" -CAkey "$authority.key" \
        -config <(printf '[req]\ndistinguished_name=dn\nx509_extensions=v3\n[dn]\n[v3]\n%b\n' "$3") 2>/dev/null
}

# One for the same name as the server's own.
new_rsa_certificate() {
    new_certificate rsa /CN=localhost 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth
keyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE' ca rsa
}

# A client's certificate, and one that an authority signed which nobody trusts.
new_client_certificates() {
    local extensions='extendedKeyUsage=clientAuth\nsubjectAltName=email:alice@example.org'
    new_certificate client /CN=alice/O=Example "$extensions"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$kPki/stranger.key" \
        -out "$kPki/stranger.pem" -subj "/CN=a stranger" -days 30 2>/dev/null
    new_certificate wrong /CN=alice/O=Example "$extensions" stranger
}

# Chromium takes the authorities of this database.
trust_in_chromium() {
    need certutil
    export HOME=$kDir/home
    mkdir -p "$HOME/.pki/nssdb"
    certutil -d "sql:$HOME/.pki/nssdb" -N --empty-password
    certutil -d "sql:$HOME/.pki/nssdb" -A -t C,, -n dev-cert -i "$kPki/ca.pem"
}
