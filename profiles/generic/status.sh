#!/usr/bin/env bash
# status.sh JOB: prints running, success or failed.
state=$(qstat -u '*' 2>/dev/null | awk -v job="$1" '$1 == job {print $5}')
case $state in
  *E*) echo failed ;; # an error in starting it
  ?*) echo running ;;
  *) # ended: its record may be written some seconds later
    for _ in $(seq 30); do
      record=$(qacct -j "$1" 2>/dev/null | awk '/^(exit_status|failed)/ {print $2}' | tail -2 | xargs)
      [ -n "$record" ] && break
      sleep 1
    done
    [ "$record" = "0 0" ] && echo success || echo failed
    ;;
esac
