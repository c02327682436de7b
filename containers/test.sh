#!/bin/sh
# Runs check.sh in an image, without a network and as a user without rights: `make test-container`.
#   test.sh [IMAGE]
# Nothing of the image can be written except for /tmp, and the user has no home. Results are written to a folder outside,
# which is removed at the end.
set -eu
image=${1:-smgicnet}
cd "$(dirname "$0")/.."
. containers/engine.sh
work=$(mktemp -d)
container=""
finish() {
	[ -z "$container" ] || buildah rm "$container" >/dev/null
	rm -rf "$work"
}
trap finish EXIT
user=$(id -u):$(id -g)
if [ "$user" = 0:0 ]; then
	user=12345:12345
	chown "$user" "$work"
fi
check=/opt/smgicnet/containers/check.sh
set -- --network none --user "$user" --volume "$work:/work"
case $engine in
buildah)
	container=$(buildah from --pull-never "$image")
	buildah run "$@" "$container" -- /opt/smgicnet/containers/start.sh "$check"
	;;
podman)
	if [ "$(id -u)" != 0 ]; then
		set -- --userns keep-id "$@"
	fi
	podman run --rm --read-only --tmpfs /tmp "$@" "$image" "$check"
	;;
*)
	"$engine" run --rm --read-only --tmpfs /tmp "$@" "$image" "$check"
	;;
esac
