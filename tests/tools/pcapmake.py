#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
#
# Writes a pcap file of UDP datagrams, for ports that read packets from a file.
import argparse
import ipaddress
import struct


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(args, number):
    src, dst = ipaddress.IPv4Address(args.source).packed, ipaddress.IPv4Address(args.to).packed
    payload = struct.pack("!I", number) + b"strait" * 10
    udp = struct.pack("!HHHH", 40000 + number, args.port, 8 + len(payload), 0) + payload
    total = checksum(src + dst + struct.pack("!II", len(udp), 17) + udp) or 0xFFFF
    udp = udp[:6] + struct.pack("!H", total) + udp[8:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), number, 0, 64, 17, 0, src, dst)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    macs = bytes.fromhex((args.mac + args.from_mac).replace(":", ""))
    return macs + b"\x08\x00" + head + udp


def main():
    p = argparse.ArgumentParser(prog="pcapmake")
    p.add_argument("file")
    p.add_argument("--count", type=int, default=10)
    p.add_argument("--source", required=True)
    p.add_argument("--to", required=True)
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--mac", required=True)
    p.add_argument("--from-mac", required=True)
    args = p.parse_args()
    with open(args.file, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number in range(args.count):
            frame = datagram(args, number)
            f.write(struct.pack("<IIII", number, 0, len(frame), len(frame)) + frame)


main()
