#!/bin/sh
export PATH=/bin HOME=/
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
mount -t debugfs debugfs /sys/kernel/debug
mkdir -p /run /tmp /r /data /cfg; mount -t tmpfs tmpfs /data
exec </dev/null >/dev/ttyS0 2>&1
ip link set lo up
say() { echo "@@ $(cut -d' ' -f1 /proc/uptime) $*"; }
finish() { say finish; dmesg > /r/dmesg; tar cz -C /r . | base64 > /dev/ttyS1; say end; sync; poweroff -f; }
stty -F /dev/ttyS1 raw 2>/dev/null
insmod /mod/configfs.ko && insmod /mod/gpio-sim.ko || { say "no module"; finish; }
mount -t configfs configfs /cfg
C=/cfg/gpio-sim/chip
mkdir $C $C/bank && echo 8 > $C/bank/num_lines && echo simulated > $C/bank/label && echo 1 > $C/live || { say "no chip"; finish; }
find_chip() { S=/sys/devices/platform/$(cat $C/dev_name)/$(cat $C/bank/chip_name); }
find_chip
line() { echo "$S/sim_gpio$1/pull"; }
level() { cat $S/sim_gpio$1/value; }
say "kernel $(uname -r), chip $S"
export WATTD_SOCKET=/run/wattd.sock
N=0
held() { grep -c '|wattd' /sys/kernel/debug/gpio; }
start() {
  N=$((N + 1)); sim now > /r/$1.started
  wattd --config /etc/wattd.toml > /r/wattd.$N.log 2>&1 & PID=$!
  i=0; while [ "$(held)" != 7 ] || ! wattctl status > /dev/null 2>&1; do
    i=$((i + 1)); { [ $i -gt 300 ] || ! kill -0 $PID; } && { say "wattd does not take its lines: $(held); $(tail -1 /r/wattd.$N.log)"; finish; }; usleep 50000; done
  usleep 500000; sim now > /r/$1.held
}
end() { kill -$1 $PID; sim now > /r/$2.killed; wait $PID; sim now > /r/$2.gone; }
shot() {
  sim now > /r/$1.shot
  for d in S0 WATER DOOR FUSE; do wattctl --json query $d --from 2h --limit 10000 > /r/$1.$d.json 2> /r/$1.$d.err; done
  wattctl --json alerts > /r/$1.alerts.json 2>&1; wattctl --json status > /r/$1.status.json 2>&1
}
relays() { echo "$(level 4) $(level 5) $(level 6)" > /r/$1.relays; }
on_at() { # waits for line $1 to be $2, up to about 10 s; when it was
  i=0; while [ "$(level $1)" != $2 ]; do i=$((i + 1)); [ $i -gt 400 ] && break; usleep 10000; done
  sim now > /r/$3.at; }

sim set "!$(line 1)" 0 /r/WATER.log; sim set "!$(line 3)" 0 /r/FUSE.log
start first; relays first; shot first
grep -A9 simulated /sys/kernel/debug/gpio > /r/lines

say plain
sim train $(line 0) 60 400 30 0 /r/S0.log & T=$!
sim train "!$(line 1)" 60 200 20 0 /r/WATER.log & W=$!
sleep 6; relays power_on
wait $T $W; sleep 3; shot plain
sleep 9; relays power_off; shot decayed

say bounces
sim train $(line 0) 60 300 10 10 /r/S0.log
sim spikes $(line 0) 3 10 /r/S0.log
sleep 3; shot bounces

for k in 1 2 3; do
  say kill $k
  sim train $(line 0) 50 250 16 0 /r/S0.log & T=$!
  sleep 2; usleep $((k * 110000))
  end 9 kill$k; wait $T
  start kill$k; sleep 3; shot kill$k
  sim train $(line 0) 50 250 7 0 /r/S0.log; sleep 3; shot after_kill$k
done

say a pulse that began while nobody looked
end 9 unseen; sim set $(line 0) 1 /r/S0.log; start unseen
sim set $(line 0) 0 /r/S0.log; sleep 1
sim train $(line 0) 50 250 3 0 /r/S0.log; sleep 3; shot unseen

say SIGTERM
sim train $(line 0) 50 250 5 0 /r/S0.log
end TERM term; start term; sleep 3; shot term

say inputs
sim set $(line 2) 1 /r/DOOR.log; sleep 2; relays door_open; shot door_open
sim spikes "!$(line 3)" 3 5 /r/FUSE.log; sleep 1; sim set "!$(line 3)" 1 /r/FUSE.log; sleep 2; sim set "!$(line 3)" 0 /r/FUSE.log
sim set $(line 2) 0 /r/DOOR.log; sleep 3; shot inputs

say relays
sim train $(line 0) 50 2000 2 0 /r/S0.log; sleep 2; relays quiet; shot quiet
sim train $(line 0) 50 250 8 0 /r/S0.log & T=$!
on_at 4 1 horn_on; wait $T; relays horn_on
end 9 relay; relays dead; start relay; relays again; shot again
sleep 14; relays stands; shot stands
sim train $(line 0) 50 3000 2 0 /r/S0.log; on_at 4 0 horn_off; sleep 1; relays horn_off; shot horn_off

say bursts
echo 0 > /proc/sys/kernel/printk_ratelimit; echo 'file gpiolib-cdev.c +p' > /sys/kernel/debug/dynamic_debug/control
for k in 0 1 2 3 4 5 6 7; do
  f=$(dmesg | grep -c 'FIFO is full'); sim burst $(line 2) $((40 + k)) 0 /r/DOOR.log; sleep 2
  echo "$((40 + k)) $(level 2) $(($(dmesg | grep -c 'FIFO is full') - f)) $(wattctl --json query DOOR --from 1h --limit 10000 | grep -o '"state":[a-z]*' | tail -1)" >> /r/bursts
  sim set $(line 2) 0 /r/DOOR.log; sleep 3  # the kernel's messages are limited to 10 in 5 s
done
sim set $(line 2) 1 /r/DOOR.log; sleep 2; sim set $(line 2) 0 /r/DOOR.log; sleep 2

say stalled
shot before_stalled
kill -STOP $PID; sim train $(line 0) 50 100 20 0 /r/S0.log; kill -CONT $PID; sleep 3; shot stalled
sim train $(line 0) 50 250 5 0 /r/S0.log; sleep 3; shot after_stalled
# 23 edges from active to inactive while it is off the processor, 16 of which the kernel keeps
sim set $(line 2) 1 /r/DOOR.log; sleep 2
kill -STOP $PID; f=$(dmesg | grep -c "FIFO is full"); sim train $(line 2) 5 10 12 0 /r/x; kill -CONT $PID; sleep 3
echo "stopped $(level 2) $(($(dmesg | grep -c "FIFO is full") - f)) $(wattctl --json query DOOR --from 1h --limit 10000 | grep -o '"state":[a-z]*' | tail -1)" >> /r/bursts
sim set $(line 2) 1 /r/x; sleep 1; sim set $(line 2) 0 /r/x; sleep 1

say unplug
shot before_unplug
echo 0 > $C/live; sleep 3
wattctl --json status > /r/unplugged.status.json 2>&1
echo 1 > $C/live; find_chip; say "chip $S"; i=0; while [ "$(held)" != 7 ] && [ $i -lt 200 ]; do i=$((i + 1)); usleep 50000; done; usleep 500000
echo "$(held)" > /r/held_again; wattctl --json status > /r/plugged.status.json 2>&1
sim now > /r/plugged.held
sim train $(line 0) 50 250 4 0 /r/S0.log; sleep 3; shot unplug
end TERM last; echo "$(held)" > /r/held_last
finish
