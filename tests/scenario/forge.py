"""Runs on a lab's server: sends frames out of the port of the guest `mail`, honest and forged, and counts which of them
are seen on the bridge or at the port of the guest `web`. Arguments: the MAC addresses of web, mail and the bridge."""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import sys
import time

MARK = b"forged-"
TIMES, SECONDS = 5, 1.0
V4, ARP, V6 = 0x0800, 0x0806, 0x86DD
EVERYBODY = bytes.fromhex("333300000001")


def packed(address: str) -> bytes:
    return ipaddress.IPv6Address(address).packed


def link_local(mac: bytes) -> bytes:
    return packed("fe80::")[:8] + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]


def ip6(source: bytes, target: bytes, protocol: int, content: bytes) -> bytes:
    return b"\x60\0\0\0" + struct.pack(">HBB", len(content), protocol, 255) + source + target + content


def icmp6(kind: int, rest: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + rest


def udp(source: int, target: int) -> bytes:
    return struct.pack(">HHHH", source, target, 8, 0)


def frames(web: bytes, mail: bytes, bridge: bytes) -> dict[str, bytes]:
    """Each by its name, which it carries behind its packet."""
    web_ip, mail_ip = packed("2001:db8:1:0:5054:ff:febe:134a"), packed("2001:db8:1:0:5054:ff:feb3:2e3e")
    everybody, outside, hello = packed("ff02::1"), packed("2001:db8:ffff::53"), udp(4000, 4000)

    def advertised(target: bytes) -> bytes:
        return ip6(link_local(mail), everybody, 58, icmp6(136, b"\x60\0\0\0" + target))

    made = {
        "honest": (bridge, mail, V6, ip6(mail_ip, outside, 17, hello)),
        "past-the-server": (web, mail, V6, ip6(mail_ip, web_ip, 17, hello)),
        # from here on the bridge may take another's MAC for mail's
        "mac": (bridge, web, V6, ip6(mail_ip, outside, 17, hello)),
        "address": (bridge, mail, V6, ip6(web_ip, outside, 17, hello)),
        "link-local": (bridge, mail, V6, ip6(link_local(web), outside, 17, hello)),
        "ipv4": (bridge, mail, V4, b"\x45" + bytes(19)),
        "arp": (EVERYBODY, mail, ARP, bytes(28)),
        "router": (EVERYBODY, mail, V6, ip6(link_local(mail), everybody, 58, icmp6(134, b"\x40\0\x07\x08" + bytes(8)))),
        "redirect": (bridge, mail, V6, ip6(link_local(mail), web_ip, 58, icmp6(137, bytes(36)))),
        "neighbour": (EVERYBODY, mail, V6, advertised(web_ip)),
        "neighbour-link-local": (EVERYBODY, mail, V6, advertised(link_local(web))),
        "dhcp-server": (EVERYBODY, mail, V6, ip6(link_local(mail), everybody, 17, udp(547, 546))),
    }
    return {
        name: to + sender + struct.pack(">H", kind) + content + MARK + name.encode()
        for name, (to, sender, kind, content) in made.items()
    }


def listener(interface: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.bind((interface, 3))
    made.setblocking(False)
    return made


def main() -> None:
    sent = frames(*(bytes.fromhex(mac.replace(":", "")) for mac in sys.argv[1:4]))
    listeners = [listener("br-main"), listener("v-web")]
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    port.bind(("evil0", 0))
    for content in sent.values():
        for _ in range(TIMES):
            port.send(content)
    seen = dict.fromkeys(sent, 0)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for made in listeners:
            try:
                content = made.recv(2000)
            except BlockingIOError:
                time.sleep(0.01)
                continue
            name = content.rpartition(MARK)[2].decode(errors="replace") if MARK in content else ""
            if name in seen:
                seen[name] += 1
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
