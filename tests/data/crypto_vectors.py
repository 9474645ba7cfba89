#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
#
# Writes tests/unit/crypto/vectors.h: known answers for crypto/, made without any of the libraries that
# strait uses. BLAKE2s is hashlib's (the reference code in CPython), HMAC is hmac's, X25519 and
# ChaCha20-Poly1305 are OpenSSL's through python3-cryptography, XChaCha20 and the edge cases of Poly1305
# are computed here from the RFCs. Everything is derived from fixed seeds, so a second run gives the
# same file.
import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

P = 2**130 - 5
LENGTHS = [0, 1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 79, 80, 81, 127, 128, 129, 191, 192,
           193, 255, 256, 257, 319, 320, 321, 511, 512, 513, 767, 768, 769, 1023, 1024, 1025, 1279, 1280,
           1281, 1419, 1420, 1421, 1500, 2047, 2048, 2049, 4095, 4096, 4097]


def seed(label, n=32):
    return hashlib.shake_256(b"strait " + label.encode()).digest(n)


def b2s(data, key=b"", n=32):
    return hashlib.blake2s(data, key=key, digest_size=n).digest()


def b2s_hmac(key, data):
    return hmac.new(key, data, hashlib.blake2s).digest()


def kdf(ck, data, n):
    prk = b2s_hmac(ck, data)
    out, last = [], b""
    for i in range(1, n + 1):
        last = b2s_hmac(prk, last + bytes([i]))
        out.append(last)
    return out


def public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(
        Encoding.Raw, PublicFormat.Raw)


def dh(private, pub):
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(pub))


def nonce12(counter):
    return bytes(4) + struct.pack("<Q", counter)


def seal(key, counter, plain, aad=b""):
    return ChaCha20Poly1305(key).encrypt(nonce12(counter), plain, aad or None)


# ---- ChaCha20 and XChaCha20 (RFC 8439 section 2.3, draft-irtf-cfrg-xchacha section 2.2) -----------

def rounds(state):
    def quarter(a, b, c, d):
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xffffffff
            v = state[z] ^ state[x]
            state[z] = ((v << n) | (v >> (32 - n))) & 0xffffffff
    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)


SIGMA = list(struct.unpack("<4I", b"expand 32-byte k"))


def chacha_block(key, block, nonce):
    start = SIGMA + list(struct.unpack("<8I", key)) + [block] + list(struct.unpack("<3I", nonce))
    state = list(start)
    rounds(state)
    return struct.pack("<16I", *[(a + b) & 0xffffffff for a, b in zip(state, start)])


def hchacha(key, nonce16):
    state = SIGMA + list(struct.unpack("<8I", key)) + list(struct.unpack("<4I", nonce16))
    rounds(state)
    return struct.pack("<8I", *(state[0:4] + state[12:16]))


def xseal(key, nonce24, plain, aad):
    return ChaCha20Poly1305(hchacha(key, nonce24[:16])).encrypt(bytes(4) + nonce24[16:], plain, aad)


# ---- Poly1305 edge cases -------------------------------------------------------------------------

def poly_key(key, counter):
    block = chacha_block(key, 0, nonce12(counter))
    r = int.from_bytes(block[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    return r, int.from_bytes(block[16:32], "little")


def solve(label, target_of):
    """A packet of two blocks whose Poly1305 accumulator, before s is added, is target_of(s)."""
    i = 0
    while True:
        key, counter = seed("%s key %d" % (label, i)), i
        r, s = poly_key(key, counter)
        target = target_of(s) % P
        first = seed("%s block %d" % (label, i), 16)
        a = int.from_bytes(first, "little") + 2**128
        lengths = (32 << 64) + 2**128
        b = (target - a * r**3 - lengths * r) * pow(r, -2, P) % P
        i += 1
        if not 2**128 <= b < 2**129:
            continue
        cipher = first + (b - 2**128).to_bytes(16, "little")
        tag = ((target + s) % 2**128).to_bytes(16, "little")
        stream = chacha_block(key, 1, nonce12(counter))
        plain = bytes(x ^ y for x, y in zip(cipher, stream))
        assert seal(key, counter, plain) == cipher + tag
        return key, counter, plain, cipher, tag


def edge_cases():
    for h in list(range(0, 6)) + [P - 1, P - 2, P - 5, 2**128 - 1, 2**128, 2**128 + 1, 2**129 - 1, 2**129,
              2**64 - 1, 2**64, 2**96 - 1, 2**96, 2**26 - 1, 2**26, 2**44 - 1, 2**44, 2**52, 2**78, 2**88,
              2**104, 2**130 - 2**128, 2**130 - 2**104]:
        yield "accumulator %x" % h, solve("h%x" % h, lambda s, h=h: h)
    for t in [0, 1, 2**127, 2**128 - 1, 2**128 - 2, 2**64, 2**64 - 1, 2**32, (2**64 - 1) << 64]:
        # the tag is t: once without, once with bits above 2^128 in the accumulator
        for top in (0, 1, 2, 3):
            name = "tag %x top %d" % (t, top)
            yield name, solve(name, lambda s, t=t, top=top: ((t - s) % 2**128 + top * 2**128))


# ---- the handshake (paper section 5.4) -----------------------------------------------------------

def handshake(label, psk):
    v = {}
    si, sr, ei, er = (seed("%s %s" % (label, n)) for n in ("si", "sr", "ei", "er"))
    stamp = bytes.fromhex("4000000065bd5f2a") + bytes.fromhex("1a000000")
    i_index, r_index = 0x11223344, 0xa1b2c3d4
    v.update(i_private=si, r_private=sr, i_ephemeral=ei, r_ephemeral=er, psk=psk, timestamp=stamp)
    i_pub, r_pub, ei_pub, er_pub = public(si), public(sr), public(ei), public(er)
    v.update(i_public=i_pub, r_public=r_pub)

    ck = b2s(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
    h = b2s(b2s(ck + b"WireGuard v1 zx2c4 Jason@zx2c4.com") + r_pub)
    (ck,) = kdf(ck, ei_pub, 1)
    h = b2s(h + ei_pub)
    ck, k = kdf(ck, dh(ei, r_pub), 2)
    enc_static = seal(k, 0, i_pub, h)
    h = b2s(h + enc_static)
    ck, k = kdf(ck, dh(si, r_pub), 2)
    enc_stamp = seal(k, 0, stamp, h)
    h = b2s(h + enc_stamp)
    msg = struct.pack("<II", 1, i_index) + ei_pub + enc_static + enc_stamp
    mac1 = b2s(msg, b2s(b"mac1----" + r_pub), 16)
    v["initiation"] = msg + mac1 + bytes(16)
    v["i_hash"], v["i_chaining_key"] = h, ck

    cookie = seed(label + " cookie", 16)
    xnonce = seed(label + " xnonce", 24)
    v["cookie"] = cookie
    v["cookie_reply"] = struct.pack("<II", 3, i_index) + xnonce + xseal(
        b2s(b"cookie--" + r_pub), xnonce, cookie, mac1)
    v["initiation_mac2"] = msg + mac1 + b2s(msg + mac1, cookie, 16)

    (ck,) = kdf(ck, er_pub, 1)
    h = b2s(h + er_pub)
    (ck,) = kdf(ck, dh(er, ei_pub), 1)
    (ck,) = kdf(ck, dh(er, i_pub), 1)
    ck, tau, k = kdf(ck, psk, 3)
    h = b2s(h + tau)
    empty = seal(k, 0, b"", h)
    msg = struct.pack("<III", 2, r_index, i_index) + er_pub + empty
    v["response"] = msg + b2s(msg, b2s(b"mac1----" + i_pub), 16) + bytes(16)
    v["i_to_r"], v["r_to_i"] = kdf(ck, b"", 2)
    v["keepalive"] = struct.pack("<IIQ", 4, r_index, 0) + seal(v["i_to_r"], 0, b"")
    inner = seed(label + " inner", 96)
    v["inner"] = inner
    v["data"] = struct.pack("<IIQ", 4, i_index, 7) + seal(v["r_to_i"], 7, inner)
    return v


# ---- output --------------------------------------------------------------------------------------

def quoted(data, indent):
    text = data.hex()
    lines = [text[i:i + 80] for i in range(0, len(text), 80)] or [""]
    return ("\n" + "\t" * indent).join('"%s"' % line for line in lines)


def self_test():
    # RFC 7693 appendix B and E, RFC 8439 section 2.3.2, draft-irtf-cfrg-xchacha section 2.2.1
    assert b2s(b"abc").hex() == "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"
    assert many_lengths(("plain", "keyed")) == \
        "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe"
    key = bytes(range(32))
    assert chacha_block(key, 1, bytes.fromhex("000000090000004a00000000"))[:8].hex() == "10f1e7e4d13b5915"
    assert hchacha(key, bytes.fromhex("000000090000004a0000000031415927")).hex() == \
        "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"


def fill(n, start):
    a, b, out = 0xdead4bad * start & 0xffffffff, 1, bytearray()
    for _ in range(n):
        a, b = b, a + b & 0xffffffff
        out.append(b >> 24)
    return bytes(out)


def many_lengths(forms):
    outs = b""
    for o in (16, 20, 28, 32):
        for n in (0, 3, 64, 65, 255, 1024):
            for form in forms:
                outs += b2s(fill(n, n), fill(o, o) if form == "keyed" else b"", o)
    return b2s(outs).hex()


def main():
    self_test()
    print("// SPDX-License-Identifier: BSD-3-Clause")
    print("//\n// Written by tests/data/crypto_vectors.py, which says with what. Do not edit.")
    print("// clang-format off\n#pragma once\n\n#include <stddef.h>\n#include <stdint.h>\n")

    print("// Poly1305: accumulators and tags at the places where carries and the final reduction go wrong.")
    print("struct edge_vector {\n\tconst char *name, *key;\n\tuint64_t nonce;\n"
          "\tconst char *plain, *cipher, *tag;\n};\n\nstatic const struct edge_vector edge_vectors[] = {")
    for name, (key, counter, plain, cipher, tag) in edge_cases():
        print('\t{"%s",\n\t\t%s,\n\t\t%uu,\n\t\t%s,\n\t\t%s,\n\t\t%s},' % (
            name, quoted(key, 2), counter, quoted(plain, 2), quoted(cipher, 2), quoted(tag, 2)))
    print("};\n")

    print("// Per length n: plain[i] = (i * 7 + n) mod 256, aad[i] = (i + n) mod 256 of length n mod 21,\n"
          "// key = 00 01 .. 1f, nonce = n * 0x0101010101; digest = BLAKE2s(ciphertext || tag).")
    print("struct length_vector {\n\tuint32_t len;\n\tconst char *digest;\n};\n\n"
          "static const struct length_vector length_vectors[] = {")
    for n in LENGTHS:
        plain = bytes((i * 7 + n) % 256 for i in range(n))
        aad = bytes((i + n) % 256 for i in range(n % 21))
        sealed = seal(bytes(range(32)), n * 0x0101010101, plain, aad)
        print('\t{%d, "%s"},' % (n, b2s(sealed).hex()))
    print("};\n")

    print("// The payload is 00 01 .. 4f, without additional data.")
    print("struct nonce_vector {\n\tuint64_t nonce;\n\tconst char *key, *sealed;\n};\n\n"
          "static const struct nonce_vector nonce_vectors[] = {")
    for n in [0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**60, 2**63, 2**64 - 8130, 2**64 - 2, 2**64 - 1]:
        for key in (bytes(32), b"\xff" * 32, seed("nonce key")):
            print('\t{%uu,\n\t\t%s,\n\t\t%s},' % (
                n, quoted(key, 2), quoted(seal(key, n, bytes(range(80))), 2)))
    print("};\n")

    print("// Keyed BLAKE2s as in the reference KAT: key 00 01 .. 1f cut to key_len, input 00 01 .. (n-1 mod 256).")
    print("struct blake2s_vector {\n\tuint32_t len, key_len, out_len;\n\tconst char *out;\n};\n\n"
          "static const struct blake2s_vector blake2s_vectors[] = {")
    for n in [0, 1, 2, 16, 31, 32, 33, 63, 64, 65, 116, 127, 128, 129, 132, 255, 256, 1000]:
        for key_len, out_len in ((0, 32), (32, 32), (16, 16), (32, 16), (1, 1)):
            out = b2s(bytes(i % 256 for i in range(n)), bytes(range(key_len)), out_len)
            print('\t{%d, %d, %d, "%s"},' % (n, key_len, out_len, out.hex()))
    print("};\n")

    print('static const char blake2s_keyed_self_test[] =\n\t"%s";\n' % many_lengths(("keyed",)))

    print("struct kdf_vector {\n\tconst char *ck, *in, *hmac, *out[3];\n};\n\n"
          "static const struct kdf_vector kdf_vectors[] = {")
    for n in [0, 1, 32, 55, 56, 63, 64, 65, 200]:
        ck, data = seed("ck %d" % n), seed("in %d" % n, n) if n else b""
        out = kdf(ck, data, 3)
        print("\t{%s,\n\t\t%s,\n\t\t%s,\n\t\t{%s,\n\t\t%s,\n\t\t%s}}," % tuple(
            quoted(x, 2) for x in (ck, data, b2s_hmac(ck, data), *out)))
    print("};\n")

    print("// A whole handshake: initiator i with index 0x11223344, responder r with 0xa1b2c3d4.")
    first, second = handshake("plain", bytes(32)), handshake("psk", seed("the psk"))
    print("struct handshake_vector {\n\tconst char *%s;\n};\n" % ", *".join(first))
    print("static const struct handshake_vector handshake_vectors[] = {")
    for v in (first, second):
        print("\t{")
        for name, data in v.items():
            print("\t\t.%s = %s," % (name, quoted(data, 3)))
        print("\t},")
    print("};")


main()
