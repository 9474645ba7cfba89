#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
#
# Raw frames for the smoke tests: records WireGuard packets from an interface, sends them again whole or
# damaged, sends garbage, and judges a pcap file. Python's standard library only; it needs CAP_NET_RAW and
# runs in the namespace of the interface.
import argparse
import ipaddress
import json
import os
import random
import socket
import struct
import sys
import time

ETH_P_ALL = 3
ETH_IP, ETH_IP6, ETH_ARP = 0x0800, 0x86DD, 0x0806
UDP = 17
TYPES = {1: "initiation", 2: "response", 3: "cookie", 4: "data"}


def die(text):
    print(f"wgraw: {text}", file=sys.stderr)
    sys.exit(2)


def open_raw(iface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    s.bind((iface, 0))
    return s


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Frame:
    """A frame taken apart as far as UDP; fields are None where it does not go that far."""

    def __init__(self, raw):
        self.raw = raw
        self.eth = self.src = self.dst = self.proto = self.sport = self.dport = self.payload = None
        self.l3 = 14
        self.fragment = False
        if len(raw) < 14:
            return
        self.eth = struct.unpack_from("!H", raw, 12)[0]
        if self.eth == ETH_IP and len(raw) >= 34:
            self.parse4()
        elif self.eth == ETH_IP6 and len(raw) >= 54:
            self.parse6()

    def parse4(self):
        raw = self.raw
        ihl = (raw[14] & 15) * 4
        total = struct.unpack_from("!H", raw, 16)[0]
        frag = struct.unpack_from("!H", raw, 20)[0]
        self.proto = raw[23]
        self.src, self.dst = ipaddress.ip_address(raw[26:30]), ipaddress.ip_address(raw[30:34])
        self.fragment = bool(frag & 0x3FFF)
        if not frag & 0x1FFF:
            self.parse_udp(14 + ihl, 14 + total)

    def parse6(self):
        raw = self.raw
        self.proto = raw[20]
        self.src, self.dst = ipaddress.ip_address(raw[22:38]), ipaddress.ip_address(raw[38:54])
        at = 54
        if self.proto == 44 and len(raw) >= 62:
            self.fragment = True
            self.proto = raw[54]
            if struct.unpack_from("!H", raw, 56)[0] & 0xFFF8:
                return
            at = 62
        self.parse_udp(at, 54 + struct.unpack_from("!H", raw, 18)[0])

    def parse_udp(self, at, end):
        raw = self.raw
        if self.proto != UDP or len(raw) < at + 8:
            return
        self.sport, self.dport, length = struct.unpack_from("!HHH", raw, at)
        self.payload = raw[at + 8:min(at + length, end, len(raw))]
        self.udp_at = at

    def wg_type(self):
        p = self.payload
        if p is None or len(p) < 8:
            return None
        kind = struct.unpack_from("<I", p)[0]
        sizes = {1: 148, 2: 92, 3: 64}
        if kind in sizes:
            return kind if len(p) == sizes[kind] else None
        return 4 if kind == 4 and len(p) >= 32 else None

    def index_counter(self):
        return struct.unpack_from("<IQ", self.payload, 4)

    def with_payload(self, payload):
        """The same packet with another UDP payload, lengths and checksums right (not for fragments)."""
        raw = bytearray(self.raw[:self.udp_at]) + struct.pack(
            "!HHHH", self.sport, self.dport, 8 + len(payload), 0) + payload
        if self.eth == ETH_IP:
            struct.pack_into("!H", raw, 16, len(raw) - 14)
            struct.pack_into("!H", raw, 24, 0)
            struct.pack_into("!H", raw, 24, checksum(bytes(raw[14:self.udp_at])))
        else:
            struct.pack_into("!H", raw, 18, len(raw) - 54)
        pseudo = self.src.packed + self.dst.packed + struct.pack("!II", 8 + len(payload), UDP)
        value = checksum(pseudo + bytes(raw[self.udp_at:])) or 0xFFFF
        struct.pack_into("!H", raw, self.udp_at + 6, value)
        return bytes(raw)


# ---- capture and replay --------------------------------------------------------------------------


def wanted(frame, args):
    if frame.wg_type() is None or (args.type and frame.wg_type() != args.type):
        return False
    return args.to is None or frame.dst == ipaddress.ip_address(args.to)


def cmd_capture(args):
    s = open_raw(args.iface)
    s.settimeout(0.2)
    frames, end = [], time.monotonic() + args.timeout
    if args.ready:
        open(args.ready, "w").close()
    while len(frames) < args.count and time.monotonic() < end:
        try:
            raw, where = s.recvfrom(65536)
        except socket.timeout:
            continue
        if where[2] == socket.PACKET_OUTGOING and not args.outgoing:
            continue
        if wanted(Frame(raw), args):
            frames.append(raw.hex())
    with open(args.file, "w") as f:
        f.write("\n".join(frames) + "\n")
    print(json.dumps({"captured": len(frames)}))
    return 0 if len(frames) >= args.count else 1


def flip(data, at):
    return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1:]


def mutate(frame, mode):
    p = frame.payload
    if mode == "none":
        return frame.raw
    if mode == "tag":
        return frame.with_payload(flip(p, len(p) - 1 - random.randrange(16)))
    if mode == "body":
        return frame.with_payload(flip(p, 16 + random.randrange(len(p) - 16)))
    if mode == "counter":
        return frame.with_payload(p[:8] + os.urandom(4) + bytes(4) + p[16:])
    if mode == "index":
        return frame.with_payload(p[:4] + os.urandom(4) + p[8:])
    if mode == "type":
        return frame.with_payload(bytes([random.choice([0, 5, 77, 255])]) + p[1:])
    if mode == "truncate":
        return frame.with_payload(p[:random.randrange(len(p))])
    if mode == "extend":
        return frame.with_payload(p + os.urandom(random.randrange(1, 1400 - min(len(p), 1390))))
    if mode == "udpsum":
        return flip(frame.raw, frame.udp_at + 6)
    die(f"unknown mutation {mode}")


MODES = ["tag", "body", "counter", "index", "type", "truncate", "extend", "udpsum"]


def load(path):
    with open(path) as f:
        return [Frame(bytes.fromhex(line)) for line in f.read().split()]


def from_elsewhere(frame, args):
    """The frame with another outer source."""
    if args.source:
        src = ipaddress.ip_address(args.source)
        at = 26 if frame.eth == ETH_IP else 22
        frame = Frame(frame.raw[:at] + src.packed + frame.raw[at + len(src.packed):])
    if args.sport:
        frame.sport = args.sport
    return Frame(frame.with_payload(frame.payload))


def send_all(s, raws, rate):
    sent, start = 0, time.monotonic()
    for raw in raws:
        try:
            s.send(raw)
            sent += 1
        except OSError as e:
            if e.errno not in (90, 105):  # too long for this interface, no buffer
                raise
        if rate:
            ahead = start + sent / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
    return sent


def cmd_replay(args):
    frames = [from_elsewhere(f, args) if args.source or args.sport else f for f in load(args.file)]
    if not frames:
        die(f"{args.file} holds no frames")
    raws = []
    for _ in range(args.times):
        for f in frames:
            mode = random.choice(MODES) if args.mutate == "any" else args.mutate
            raws.append(mutate(f, mode))
    print(json.dumps({"sent": send_all(open_raw(args.iface), raws, args.rate)}))
    return 0


# ---- garbage -------------------------------------------------------------------------------------


def ip4(src, dst, proto, body, **over):
    h = {"ver": 0x45, "tos": 0, "len": 20 + len(body), "id": random.randrange(65536), "frag": 0, "ttl": 64}
    h.update(over)
    head = struct.pack("!BBHHHBBH4s4s", h["ver"], h["tos"], h["len"] & 0xFFFF, h["id"], h["frag"], h["ttl"],
                       proto, 0, src.packed, dst.packed)
    return head[:10] + struct.pack("!H", over.get("sum", checksum(head))) + head[12:] + body


def ip6(src, dst, proto, body, **over):
    return struct.pack("!IHBB16s16s", 6 << 28, over.get("len", len(body)) & 0xFFFF, proto, 64, src.packed,
                       dst.packed) + body


def udp(src, dst, dport, payload, **over):
    length = over.get("len", 8 + len(payload)) & 0xFFFF
    head = struct.pack("!HHHH", random.randrange(1, 65536), dport, length, 0)
    total = checksum(src.packed + dst.packed + struct.pack("!II", length, UDP) + head + payload) or 0xFFFF
    return head[:6] + struct.pack("!H", over.get("sum", total)) + payload


def garbage_payload():
    kind = random.choice([0, 1, 2, 3, 4, 4, 4, 5, 0x2112A442])
    size = random.choice([0, 1, 3, 4, 8, 15, 16, 31, 32, 33, 63, 64, 65, 92, 93, 147, 148, 149, 512, 1400])
    return (struct.pack("<I", kind) + os.urandom(size))[:max(size, 0)]


def garbage_packet(src, dst, port):
    """One IP packet that is wrong in one of many ways, or right but meaningless."""
    v6 = dst.version == 6
    ip = ip6 if v6 else ip4
    p = garbage_payload()
    good = udp(src, dst, port, p)
    pick = random.randrange(12)
    if pick == 0:
        return os.urandom(random.randrange(1, 400))
    if pick == 1:
        return ip(src, dst, random.randrange(256), os.urandom(random.randrange(0, 600)))
    if pick == 2:
        return ip(src, dst, UDP, udp(src, dst, port, p, len=random.choice([0, 7, 4000, 65535])))
    if pick == 3:
        return ip(src, dst, UDP, udp(src, dst, port, p, sum=random.randrange(1, 65536)))
    if pick == 4:
        return ip(src, dst, UDP, good, len=random.choice([0, 19, 21, 3000, 65535]))
    if pick == 5 and not v6:
        return ip4(src, dst, UDP, good, sum=random.randrange(65536))
    if pick == 6 and not v6:
        return ip4(src, dst, UDP, good, ver=random.choice([0x40, 0x44, 0x4F, 0x65, 0x55]))
    if pick == 7 and not v6:
        return ip4(src, dst, UDP, good[:random.randrange(1, 64)], frag=random.choice([0x2000, 0x2001, 1, 0x1FFF]))
    if pick == 7:
        head = struct.pack("!BBHI", UDP, 0, random.choice([1, 8, 9, 0xFFF9]), random.randrange(1 << 32))
        return ip6(src, dst, 44, head + os.urandom(random.randrange(0, 80)))
    if pick == 8 and v6:
        return ip6(src, dst, random.choice([0, 43, 60]), os.urandom(random.randrange(0, 64)))
    if pick == 9:
        return ip(src, dst, UDP, good)[:random.randrange(1, 40)]
    return ip(src, dst, UDP, good)


def garbage_frame(args, macs):
    dst = ipaddress.ip_address(random.choice(args.to))
    src = ipaddress.ip_address(random.choice(
        [args.source6 if dst.version == 6 else args.source4, str(dst), "::1" if dst.version == 6 else "127.0.0.1"]))
    eth = ETH_IP6 if dst.version == 6 else ETH_IP
    if random.randrange(20) == 0:
        eth = random.choice([ETH_ARP, 0x8100, 0x88A8, 0x0001, 0x8863, 0xFFFF])
    mac = random.choice([macs[0], macs[0], macs[0], b"\xff" * 6, os.urandom(6)])
    frame = mac + macs[1] + struct.pack("!H", eth) + garbage_packet(src, dst, args.port)
    return frame[:random.randrange(14, 60)] if random.randrange(15) == 0 else frame


def whole_frame(args, macs):
    """Nothing is wrong with it but its size and that there is no such session."""
    dst, src = ipaddress.ip_address(args.to[0]), ipaddress.ip_address(args.source4)
    data = struct.pack("<I", 4) + os.urandom(args.size - 46)
    return macs[0] + macs[1] + struct.pack("!H", ETH_IP) + ip4(src, dst, UDP, udp(src, dst, args.port, data))


def cmd_garbage(args):
    random.seed(args.seed)
    s = open_raw(args.iface)
    macs = (bytes.fromhex(args.mac.replace(":", "")), s.getsockname()[4])
    raws = (whole_frame(args, macs) for _ in range(args.count)) if args.size else (
        garbage_frame(args, macs) for _ in range(args.count))
    print(json.dumps({"sent": send_all(s, (r for r in raws if args.size or len(r) <= 1514), args.rate), "seed": args.seed}))
    return 0


# ---- frames that are wrong in one known way ------------------------------------------------------


def wrong_frames(side, dst, macs, port, source):
    """The drop reason of strait-dp, and one frame that is dropped for it alone."""
    src = ipaddress.ip_address(source)
    v6 = dst.version == 6
    ip = ip6 if v6 else ip4

    def ether(packet, mac=macs[0]):
        return mac + macs[1] + struct.pack("!H", ETH_IP6 if v6 else ETH_IP) + packet

    def data(size):
        return struct.pack("<I", 4) + os.urandom(size - 4)

    good = udp(src, dst, port, data(64))
    yield "rx_bad_ip", ether(ip(src, dst, UDP, good)[:12])
    yield "rx_not_our_mac", ether(ip(src, dst, UDP, good), b"\x02" + os.urandom(5))
    yield "rx_bad_ip", ether(ip(src, dst, UDP, good, len=3000))
    if not v6:
        yield "rx_bad_ip", ether(ip4(src, dst, UDP, good, sum=checksum(b"no")))
        yield "rx_bad_ip", ether(ip4(src, dst, UDP, good, ver=0x55))
    if side == "wan":
        yield "udp_bad_length", ether(ip(src, dst, UDP, udp(src, dst, port, data(64), len=7)))
        yield "wg_malformed", ether(ip(src, dst, UDP, udp(src, dst, port, data(31))))
        yield "wg_no_session", ether(ip(src, dst, UDP, good))
    elif not v6:
        yield "route_martian", ether(ip4(ipaddress.ip_address("127.0.0.1"), dst, UDP, good))
        yield "ttl_exceeded", ether(ip4(src, dst, UDP, good, ttl=1))


def cmd_wrong(args):
    s = open_raw(args.iface)
    macs = (bytes.fromhex(args.mac.replace(":", "")), s.getsockname()[4])
    sent, raws = {}, []
    for _ in range(args.count):
        for to in args.to:
            dst = ipaddress.ip_address(to)
            source = args.source6 if dst.version == 6 else args.source4
            for reason, raw in wrong_frames(args.side, dst, macs, args.port, source):
                sent[reason] = sent.get(reason, 0) + 1
                raws.append(raw)
    if send_all(s, raws, args.rate) != len(raws):
        die(f"{args.iface} did not take all")
    print(json.dumps(sent))
    return 0


# ---- judging a pcap ------------------------------------------------------------------------------


def pcap_frames(path):
    with open(path, "rb") as f:
        head = f.read(24)
        if len(head) < 24:
            return
        order = "<" if head[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
        while True:
            rec = f.read(16)
            if len(rec) < 16:
                return
            length = struct.unpack(order + "IIII", rec)[2]
            yield f.read(length)


def private(addr):
    """Inner addresses of the lab: none of them may be in an IP header on the WAN."""
    if addr is None:
        return False
    nets = ["10.0.0.0/8"] if addr.version == 4 else ["fd00::/8"]
    return any(addr in ipaddress.ip_network(n) for n in nets)


def cmd_judge(args):
    """Counts packets by type, repeated (source, receiver index, counter) triples, and clear text; how far a counter is
    behind the highest before it of its source and index."""
    count = {name: 0 for name in TYPES.values()}
    seen, repeated, clear, unreachable, frags, highest, behind = set(), [], [], 0, 0, {}, 0
    for raw in pcap_frames(args.file):
        f = Frame(raw)
        if private(f.src) or private(f.dst):
            clear.append(f"{f.src} > {f.dst} proto {f.proto}")
        if f.proto == 1 and f.eth == ETH_IP and len(raw) > 35 and raw[34] == 3 and raw[35] == 3:
            unreachable += 1
        if f.proto == 58 and len(raw) > 55 and raw[54] == 1 and raw[55] == 4:
            unreachable += 1
        frags += f.fragment
        kind = f.wg_type()
        if kind is None:
            continue
        count[TYPES[kind]] += 1
        if kind == 4:
            index, counter = f.index_counter()
            triple = (str(f.src), index, counter)
            if triple in seen:
                repeated.append(triple)
            seen.add(triple)
            highest[triple[:2]] = max(highest.get(triple[:2], 0), counter)
            behind = max(behind, highest[triple[:2]] - counter)
    print(json.dumps({**count, "repeated": len(repeated), "repeated_first": repeated[:5], "clear": len(clear),
                      "clear_first": clear[:5], "port_unreachable": unreachable, "fragments": frags,
                      "behind": behind}))
    return 0


def main():
    parser = argparse.ArgumentParser(prog="wgraw")
    sub = parser.add_subparsers(dest="verb", required=True)
    c = sub.add_parser("capture", help="record WireGuard packets, one hex line each")
    c.add_argument("iface")
    c.add_argument("file")
    c.add_argument("--count", type=int, default=10)
    c.add_argument("--type", type=int, default=0, help="1..4, 0 = any")
    c.add_argument("--to", help="outer destination")
    c.add_argument("--timeout", type=float, default=10)
    c.add_argument("--outgoing", action="store_true", help="those this end sends, too")
    c.add_argument("--ready", help="file made when listening")
    c.set_defaults(run=cmd_capture)
    r = sub.add_parser("replay", help="send recorded packets again")
    r.add_argument("iface")
    r.add_argument("file")
    r.add_argument("--times", type=int, default=1)
    r.add_argument("--rate", type=int, default=5000)
    r.add_argument("--mutate", default="none", choices=["none", "any"] + MODES)
    r.add_argument("--source", help="outer source address instead of the recorded one")
    r.add_argument("--sport", type=int, help="outer source port likewise")
    r.set_defaults(run=cmd_replay)
    g = sub.add_parser("garbage", help="send frames that mean nothing")
    g.add_argument("iface")
    g.add_argument("--mac", required=True, help="of the victim")
    g.add_argument("--to", action="append", required=True)
    g.add_argument("--source4", default="192.0.2.99")
    g.add_argument("--source6", default="2001:db8::99")
    g.add_argument("--port", type=int, default=51820)
    g.add_argument("--count", type=int, default=20000)
    g.add_argument("--rate", type=int, default=20000)
    g.add_argument("--size", type=int, help="one whole IPv4 frame of so many bytes, again and again")
    g.add_argument("--seed", type=int, default=1)
    g.set_defaults(run=cmd_garbage)
    w = sub.add_parser("wrong", help="send frames that are wrong in one known way each; prints drop reasons and counts")
    w.add_argument("iface")
    w.add_argument("--side", choices=["lan", "wan"], required=True)
    w.add_argument("--mac", required=True, help="of the victim")
    w.add_argument("--to", action="append", required=True)
    w.add_argument("--source4", default="192.0.2.99")
    w.add_argument("--source6", default="2001:db8::99")
    w.add_argument("--port", type=int, default=51820)
    w.add_argument("--count", type=int, default=100)
    w.add_argument("--rate", type=int, default=3000)
    w.set_defaults(run=cmd_wrong)
    j = sub.add_parser("judge", help="look at a pcap of the WAN")
    j.add_argument("file")
    j.set_defaults(run=cmd_judge)
    args = parser.parse_args()
    sys.exit(args.run(args))


main()
