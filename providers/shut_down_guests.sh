#!/bin/sh
# Written by Sixstead. Before the server goes down its guests are asked to shut down, all at once, and again every 10 s: one
# that is still booting hears it the second time. Whoever runs after SHUTDOWN_TIMEOUT seconds is switched off.
# libvirt-guests(8) does so one by one, 300 s for each that does not answer; what it is told to do with guests in its own
# file counts here, too, and it has the last word. One command, so that the unit's time limit is for both.
set -u
ON_SHUTDOWN=shutdown SHUTDOWN_TIMEOUT=180
[ ! -r /etc/default/libvirt-guests ] || . /etc/default/libvirt-guests
keeper() { exec /usr/lib/libvirt/libvirt-guests.sh stop; }
[ "$ON_SHUTDOWN" = shutdown ] || keeper

guests() {
    virsh --quiet list --name "$@" | grep .
}

guests --state-paused | while read -r name; do virsh --quiet resume "$name" </dev/null; done
seconds=0
while [ -n "$(guests)" ]; do
    if [ "$SHUTDOWN_TIMEOUT" != 0 ] && [ "$seconds" -ge "$SHUTDOWN_TIMEOUT" ]; then
        guests | while read -r name; do
            echo "guest $name did not shut down within $SHUTDOWN_TIMEOUT s and is switched off"
            virsh --quiet destroy "$name" </dev/null
        done
        break
    fi
    [ $((seconds % 10)) != 0 ] || guests | while read -r name; do virsh shutdown "$name" </dev/null; done
    sleep 1
    seconds=$((seconds + 1))
done
keeper
