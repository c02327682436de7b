#!/bin/sh
# A Chromium for the tests of the report's page. Does nothing where there is one; needs Debian or Ubuntu, root or sudo.
set -u
for name in "${SMGICNET_BROWSER:-}" chromium chromium-browser google-chrome google-chrome-stable; do
  if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then
    echo "browser: $(command -v "$name")"
    exit 0
  fi
done
fail() {
  echo "install_chromium.sh: $1. Install Chromium or Chrome by hand, or name one in SMGICNET_BROWSER." >&2
  exit 1
}
command -v apt-get >/dev/null 2>&1 || fail "there is no apt-get"
if [ "$(id -u)" = 0 ]; then
  as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  as_root=sudo
else
  fail "installing needs root, or sudo without a password"
fi
$as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -qq -y --no-install-recommends chromium ||
  fail "apt-get could not install the package chromium"
command -v chromium >/dev/null 2>&1 || fail "the package chromium brought no such command"
echo "browser: $(command -v chromium)"
