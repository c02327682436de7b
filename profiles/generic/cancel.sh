#!/usr/bin/env bash
# cancel.sh JOB...: cancels them.
exec qdel "$@"
