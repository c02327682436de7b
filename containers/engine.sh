# Sets `engine` to the first of docker, podman and buildah that works here, or to $ENGINE: for build.sh and test.sh.
works() {
	case $1 in
	docker) docker version >/dev/null 2>&1 ;; # a client without a daemon does not count
	*) command -v "$1" >/dev/null ;;
	esac
}
engine=${ENGINE:-}
for name in docker podman buildah; do
	if [ -z "$engine" ] && works "$name"; then
		engine=$name
	fi
done
if [ -z "$engine" ]; then
	echo "No docker with a running daemon, no podman and no buildah is here. Install one of them." >&2
	exit 1
fi
