"""Judges what testssl.sh found: anything above "low" has to be among what docs/tls.md explains.

    testssl_findings.py FILE.json
"""
import json
import re
import sys

# By id, without the "<cert#1>" of several certificates.
EXPLAINED = {
    "cert_revocation": "Neither CRL nor OCSP URI provided",
    "security_headers": "--",
}
HARMLESS = {"OK", "INFO", "LOW"}
# Said about the scanner, or the openssl that it runs, rather than about the server; only as a warning.
ABOUT_THE_SCANNER = {"engine_problem"}
# Of which there has to be a word, or the scan ended early.
LOOKED_FOR = {"TLS1", "TLS1_3", "cert_chain_of_trust", "heartbleed", "secure_client_renego", "LUCKY13", "GREASE",
              "clientsimulation-openssl_303"}

with open(sys.argv[1], encoding="utf-8") as file:
    findings = json.load(file)

unexplained = 0
seen = set()
for each in findings:
    name = re.sub(r" <.*>$", "", each["id"])
    seen.add(name)
    if each["severity"] in HARMLESS:
        continue
    if each["severity"] == "WARN" and name in ABOUT_THE_SCANNER:
        print(f"about the scanner: {each['id']}: {each['finding']}")
        continue
    is_explained = EXPLAINED.get(name) == each["finding"]
    unexplained += not is_explained
    print(f"{'explained' if is_explained else 'FAILED'}: {each['severity']}: {each['id']}: {each['finding']}")
missing = LOOKED_FOR - seen
if missing:
    print(f"FAILED: nothing was said of {', '.join(sorted(missing))}")
print(f"{len(findings)} findings, {unexplained} of them unexplained")
sys.exit(1 if unexplained or missing else 0)
