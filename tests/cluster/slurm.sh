#!/usr/bin/env bash
# A real Slurm of one node for the tests, from Debian's packages: no systemd, no cgroups, no accounting.
#   slurm.sh up | down        as root, on a machine that has no Slurm of its own: it writes /etc/slurm
# The node claims CPUS cores and two counted GPUs whatever the machine has. Its state lives in $SLURM_TEST.
set -euo pipefail
RUN=${SLURM_TEST:-/run/slurm-test}
CPUS=${CPUS:-4} MEMORY_MB=${MEMORY_MB:-12000} GPUS=2
HOST=$(hostname -s)
say() { echo "slurm.sh: $*" >&2; exit 1; }

stop() { # stop PIDFILE
  local pid
  [ -s "$1" ] || return 0
  pid=$(cat "$1")
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || { rm -f "$1"; return 0; }; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$1"
}

wait_for() { # wait_for WHAT COMMAND...
  local what=$1
  shift
  for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done
  say "$what did not come up; its log is in $RUN/log"
}

down() {
  scancel --full --user=root >/dev/null 2>&1 || true
  sleep 1
  for daemon in slurmd slurmctld; do stop "$RUN/pid/$daemon.pid"; done
  [ ! -e "$RUN/munge" ] || stop /run/munge/munged.pid
  rm -rf "$RUN"
  # with it Snakemake's plugin would wait nine seconds for the controller, at every start
  if grep -q '^# of the tests' /etc/slurm/slurm.conf 2>/dev/null; then rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf; fi
}

install_packages() {
  local needed=(slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins) missing=()
  for package in "${needed[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    >"$RUN/log/apt.log" 2>&1 || { tail -20 "$RUN/log/apt.log" >&2; say "packages cannot be installed: ${missing[*]}"; }
}

configure() {
  install -d /etc/slurm
  if [ -e /etc/slurm/slurm.conf ] && ! grep -q '^# of the tests' /etc/slurm/slurm.conf; then
    say "/etc/slurm/slurm.conf is not of these tests. Run them on a machine without a Slurm of its own."
  fi
  # in /etc/slurm and nowhere else: what a job step starts has no SLURM_CONF. Debian's 22.05 counts GPUs by device
  # files: nodes that do what /dev/null does.
  for ((gpu = 0; gpu < GPUS; gpu++)); do [ -c "$RUN/dev/gpu$gpu" ] || mknod "$RUN/dev/gpu$gpu" c 1 3; done
  printf 'AutoDetect=off\nNodeName=%s Name=gpu File=%s/dev/gpu[0-%d]\n' "$HOST" "$RUN" $((GPUS - 1)) >/etc/slurm/gres.conf
  cat >/etc/slurm/slurm.conf <<CONF
# of the tests: written by tests/cluster/slurm.sh
ClusterName=test
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$RUN/ctld
SlurmdSpoolDir=$RUN/slurmd
SlurmctldPidFile=$RUN/pid/slurmctld.pid
SlurmdPidFile=$RUN/pid/slurmd.pid
SlurmctldLogFile=$RUN/log/slurmctld.log
SlurmdLogFile=$RUN/log/slurmd.log
# without cgroups: processes are found through /proc, and memory is looked at every second
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
DefMemPerCPU=500
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,sched_min_interval=0
KillWait=20
OverTimeLimit=0
InactiveLimit=0
MinJobAge=600
PropagateResourceLimits=NONE
EnforcePartLimits=ALL
GresTypes=gpu
AccountingStorageType=accounting_storage/none
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=$MEMORY_MB Gres=gpu:$GPUS State=UNKNOWN
PartitionName=cpu Nodes=$HOST Default=YES MaxTime=24:00:00 DefaultTime=10 State=UP
PartitionName=gpu Nodes=$HOST MaxTime=24:00:00 DefaultTime=10 State=UP
CONF
}

ready() {
  [ "$(sinfo -h -N -p cpu -o %t | head -1)" = idle ] || { scontrol update NodeName="$HOST" State=RESUME; return 1; }
}

up() {
  mkdir -p "$RUN"/{ctld,slurmd,log,pid,dev}
  install_packages
  if ! munge -n >/dev/null 2>&1; then
    [ -s /etc/munge/munge.key ] || /usr/sbin/mungekey --create
    install -d -o munge -g munge -m 755 /run/munge
    install -d -o munge -g munge -m 700 /var/log/munge /var/lib/munge
    chown munge:munge /etc/munge /etc/munge/munge.key
    chmod 400 /etc/munge/munge.key
    runuser -u munge -- /usr/sbin/munged
    touch "$RUN/munge"
    wait_for munged munge -n
  fi
  configure
  pgrep -F "$RUN/pid/slurmctld.pid" >/dev/null 2>&1 || slurmctld
  wait_for slurmctld scontrol ping
  pgrep -F "$RUN/pid/slurmd.pid" >/dev/null 2>&1 || slurmd
  wait_for slurmd ready
  sinfo -o '%P %a %D %t %c %m %G'
}

[ "$(id -u)" = 0 ] || say "Slurm's daemons are started as root"
case ${1:-} in
  up) up ;;
  down) down ;;
  *) say "up or down?" ;;
esac
