#!/usr/bin/env bash
# Prints a user's token, valid for a day: token.sh EMAIL
# The signing key is JWT_VERIFY_KEY from the environment, or the cluster's, or that of `make app`.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

email=${1:-}
[[ $email == *@* ]] || die "'$email' is not an e-mail address" "use: token.sh you@example.com"

app_key=${AUTOGPT_APP_DATA:-$ROOT/.app}/jwt.key
key=${JWT_VERIFY_KEY:-}
if [[ -z $key && -e $KUBECONFIG ]]; then
  key=$(kubectl -n "$NAMESPACE" get secret autogpt-jwt --request-timeout=5s -o jsonpath='{.data.JWT_VERIFY_KEY}' 2>/dev/null | base64 -d) || key=
fi
if [[ -z $key && -r $app_key ]]; then key=$(<"$app_key"); fi
[[ -n $key ]] || die "no signing key: JWT_VERIFY_KEY is not set, and neither a cluster nor $app_key has one" \
  "start the platform first (make up, or make app)"

SIGNING_KEY=$key python3 - "$email" <<'PYTHON'
import base64, hashlib, hmac, json, os, sys, time, uuid

def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")

email, now = sys.argv[1], int(time.time())
claims = {
    # The same address is always the same user.
    "sub": str(uuid.uuid5(uuid.NAMESPACE_URL, "mailto:" + email)),
    "email": email,
    "aud": "authenticated",
    "role": "authenticated",
    "iat": now,
    "exp": now + 24 * 3600,
}
body = b".".join(encode(json.dumps(part, separators=(",", ":")).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
signature = hmac.new(os.environ["SIGNING_KEY"].encode(), body, hashlib.sha256).digest()
print((body + b"." + encode(signature)).decode())
PYTHON
