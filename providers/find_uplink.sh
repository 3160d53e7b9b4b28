#!/bin/sh
# Written by Sixstead. find-uplink NAME MAC: before the network is configured, the uplink's card gets its NAME back where
# it is called otherwise: another mainboard or card, or another way of naming. While NAME exists nothing is done.
# It is the card with this MAC address, else one with a carrier, else any; of several the first by name.
set -u
name=$1 mac=$2
net=/sys/class/net
patience=5 # seconds before another MAC address is taken: the card itself may be slow to appear, and so is a carrier
limit=30   # seconds before a card without a carrier is taken
raised=

# Like a network card: 1 on the mainboard, 2 on USB (often the way to the management controller), 3 in a container.
kind() {
    card=$net/$1
    [ "$(cat "$card/type")" = 1 ] && [ ! -e "$card/master" ] && [ ! -e "$card/device/physfn" ] || return 0
    ! grep -q '^DEVTYPE=' "$card/uevent" || return 0 # wlan, bridge, vlan, bond
    if [ -e "$card/device" ]; then
        case $(readlink -f "$card/device/subsystem") in */usb) echo 2 ;; *) echo 1 ;; esac
    elif ip -brief link show type veth | grep -q "^$1@"; then
        echo 3
    fi
}

# A card that the owner's own files name, for a private network or a bond, stays what it is.
named_by_owner() {
    cat /etc/network/interfaces.d/* /etc/systemd/network/* 2>/dev/null | grep -v '^[[:space:]]*#' | grep -qwF -e "$1"
}

# All cards of the first kind that there is.
cards() {
    for of in 1 2 3; do
        seen=
        for path in "$net"/*; do
            if [ "$(kind "${path##*/}")" = "$of" ]; then
                seen=yes
                named_by_owner "${path##*/}" || echo "${path##*/}"
            fi
        done
        [ -z "$seen" ] || return 0
    done
}

with_mac() {
    for path in "$net"/*; do
        [ "$(cat "$path/address" 2>/dev/null)" = "$mac" ] && [ -n "$(kind "${path##*/}")" ] || continue
        named_by_owner "${path##*/}" || echo "${path##*/}"
    done
}

lower() {
    for card in $raised; do ip link set dev "$card" down; done
}

there() {
    [ -e "$net/$name" ] || return 1
    lower
    exit 0
}

take() {
    own=$1 why=$2
    lower
    ip link set dev "$own" down
    ip link property del dev "$name" altname "$name" 2>/dev/null
    ip link set dev "$own" name "$name" || there || exit 1
    echo "$own" >/run/sixstead-uplink
    # what sysctl.d says of this name; udev sees to that when a card appears, not when it is renamed
    for where in ipv4/conf ipv4/neigh ipv6/conf ipv6/neigh; do set -- "$@" "--prefix=/net/$where/$name"; done
    shift 2
    [ ! -x /usr/lib/systemd/systemd-sysctl ] || /usr/lib/systemd/systemd-sysctl "$@"
    echo "the network card $own with MAC address $(cat "$net/$name/address") is called $name from now on: $why"
    exit 0
}

there
if grep -qsx "Name=$name" /etc/systemd/network/*.netdev; then exit 0; fi
[ ! -S /run/udev/control ] || udevadm settle --timeout="$limit" --exit-if-exists="$net/$name"
echo "there is no $name"
waited=0
while ! there; do
    for card in $(with_mac); do take "$card" "it has the MAC address of $name"; done
    found=$(cards)
    for card in $found; do
        case " $raised " in *" $card "*) continue ;; esac
        [ "$(cat "$net/$card/carrier" 2>/dev/null)" = "" ] || continue # up already
        ip link set dev "$card" up && raised="$raised $card"
    done
    for card in $found; do
        [ "$waited" -ge "$limit" ] && take "$card" "no card has a carrier, and it is the first"
        [ "$waited" -ge "$patience" ] && [ "$(cat "$net/$card/carrier" 2>/dev/null)" = 1 ] && take "$card" "it has a carrier"
    done
    if [ "$waited" -ge "$limit" ]; then
        echo "found no network card to be called $name, with MAC address $mac"
        exit 1
    fi
    sleep 1
    waited=$((waited + 1))
done
