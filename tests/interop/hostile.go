// SPDX-License-Identifier: BSD-3-Clause
//
// A peer that the gateway knows and that means no good: bodies, sessions and candidates that are wrong in one thing
// each, by the signal service; then checks, answers and addresses that are forged, on the gateway's port.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/pion/stun"
	"google.golang.org/protobuf/encoding/protowire"
)

type hostile struct {
	own, gateway key
	signal       *signalClient
	heard        chan *body
	udp          *net.UDPConn // where our candidate is
	to           *net.UDPAddr
	sent         map[string]int
}

// ---- by the signal service ----------------------------------------------------------------------

func (h *hostile) body(class string, b []byte) {
	h.sent[class]++
	_ = h.signal.sendRaw(&encrypted{h.own.public().String(), h.gateway.String(), b})
}

func (h *hostile) plain(class string, b []byte) { h.body(class, seal(b, h.gateway, h.own)) }

func (h *hostile) say(class string, m *body) { h.plain(class, m.marshal()) }

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func (h *hostile) bodies() {
	for n := 0; n < 40; n++ {
		h.body("box", noise(n))
	}
	h.body("box", noise(1<<20))
	var other key
	copy(other[:], noise(32))
	h.body("box", seal([]byte{}, h.gateway, other))
	// Under the gateway's own key, under one that is none, and to nobody.
	for _, from := range []string{h.gateway.String(), other.public().String(), "AAAA", strings.Repeat("=", 44)} {
		h.sent["stranger"]++
		_ = h.signal.sendRaw(&encrypted{from, h.gateway.String(), noise(100)})
	}
}

// What opens, and is no Body; or one whose fields are of other types or lengths than they should be.
func (h *hostile) fields() {
	for _, n := range []int{1, 2, 7, 100, 15000} {
		h.plain("protobuf", append([]byte{0xff}, noise(n)...))
	}
	h.plain("protobuf", protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "offer"))
	h.plain("protobuf", protowire.AppendFixed32(protowire.AppendTag(nil, 3, protowire.Fixed32Type), 1))
	h.plain("protobuf", protowire.AppendVarint(protowire.AppendTag(nil, 10, protowire.VarintType), 1))
	h.plain("protobuf", []byte{0x12, 0xff, 0xff, 0xff, 0xff, 0x0f})
	for _, t := range []uint64{3, typeHeartbeat, 7, 99, 1 << 31, 1<<63 - 1} {
		h.say("type", &body{kind: t, payload: "x"})
	}
	h.say("mode", &body{kind: typeMode})
	for _, n := range []int{0, 1, 4, 6, 200} {
		h.say("session", &body{kind: typeAnswer, payload: letters(16) + ":" + letters(32), session: noise(n)})
	}
	many := make([]uint64, 5000)
	h.say("features", &body{kind: typeAnswer, payload: letters(16) + ":" + letters(32), features: many, port: 1<<32 - 1})
	for _, p := range []string{"", "nocolon", "a:b:c", "::", ":pwd", "ufrag:", letters(300) + ":" + letters(32), letters(16) + ":" + letters(300),
		"a\x00b:" + letters(32), "\xff\xfe:" + letters(32), letters(14000)} {
		h.say("credentials", &body{kind: typeOffer, payload: p, session: noise(5)})
		h.say("credentials", &body{kind: typeAnswer, payload: p, session: noise(5)})
	}
	// The grammar of ICE refuses these only when an attempt begins.
	for _, p := range []string{"abc:" + letters(32), letters(16) + ":short", "blank blank:" + letters(32), letters(16) + ":" + letters(22) + "-_"} {
		h.say("grammar", &body{kind: typeOffer, payload: p, session: noise(5)})
	}
}

func (h *hostile) candidate(class, text string) { h.say(class, &body{kind: typeCandidate, payload: text}) }

func (h *hostile) candidates(overlay string) {
	for _, c := range []string{"", " ", "x", "1 1 udp 1", "1 1 udp 2130706431 192.0.2.40 5000 typ nothing", "1 2 udp 2130706431 192.0.2.40 5000 typ host",
		"1 1 udp x 192.0.2.40 5000 typ host", "1 1 udp 99999999999 192.0.2.40 5000 typ host", "1 1 udp 2130706431 192.0.2.40 99999 typ host",
		"1 1 udp 2130706431 192.0.2.40 -1 typ host", "\x00 1 udp 2130706431 192.0.2.40 5000 typ host", "1 1 udp 2130706431 192.0.2.40 5000 host typ",
		strings.Repeat("7", 40) + " 1 udp 2130706431 192.0.2.40 5000 typ host", "%s%n%p 1 udp 1 192.0.2.40 5000 typ host"} {
		h.candidate("candidate-grammar", c)
	}
	h.candidate("candidate-long", "1 1 udp 2130706431 192.0.2.40 5000 typ host "+strings.Repeat("a", 600))
	for _, a := range []string{"4e7a1c2d-1b2c-4d5e-8f90-123456789abc.local", "example.org", "224.0.0.1", "ff02::1", "255.255.255.255", "0.0.0.0", "::",
		"127.0.0.1", "::1", "240.0.0.1", overlay} {
		h.candidate("candidate-address", fmt.Sprintf("1 1 udp 2130706431 %s 5000 typ host", a))
	}
	h.candidate("candidate-address", "1 1 tcp 2130706431 192.0.2.40 5000 typ host tcptype passive")
	h.candidate("candidate-address", "1 1 udp 2130706431 192.0.2.40 0 typ host")
	for n := 0; n < 40; n++ {
		h.candidate("candidate-many", fmt.Sprintf("%d 1 udp %d 198.51.100.%d 5000 typ host", n, 2130706431-n, n+1))
	}
}

// An attempt of the gateway's with us: its credentials.
func (h *hostile) attempt() (ours, theirs []string) {
	pair := letters(16) + ":" + letters(32)
	session := noise(5)
	end := time.After(20 * time.Second)
	again := time.NewTicker(2 * time.Second)
	defer again.Stop()
	for {
		h.say("offer", &body{kind: typeOffer, payload: pair, port: 51820, version: "interop", session: session})
	wait:
		for {
			select {
			case m := <-h.heard:
				if m.kind == typeAnswer {
					return strings.Split(pair, ":"), strings.Split(m.payload, ":")
				}
			case <-again.C:
				break wait
			case <-end:
				die(fmt.Errorf("the gateway does not answer an offer"))
			}
		}
	}
}

// ---- on the gateway's port ----------------------------------------------------------------------

var forged = &stun.XORMappedAddress{IP: net.IPv4(6, 6, 6, 6), Port: 666}

func build(s ...stun.Setter) []byte { return stun.MustBuild(s...).Raw }

func (h *hostile) shoot(class string, from net.PacketConn, b []byte) {
	h.sent[class]++
	_, _ = from.WriteTo(b, h.to)
}

// An address that is not ours.
func pretend(address string) net.PacketConn {
	l := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		_ = c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_IP, syscall.IP_TRANSPARENT, 1) })
		return
	}}
	c, err := l.ListenPacket(context.Background(), "udp4", address)
	die(err)
	return c
}

func (h *hostile) checks(ours, theirs []string) {
	user := stun.NewUsername(theirs[0] + ":" + ours[0])
	right, wrong := stun.NewShortTermIntegrity(theirs[1]), stun.NewShortTermIntegrity(letters(32))
	nobody := stun.NewUsername(letters(16) + ":" + ours[0])
	for n := 0; n < 20; n++ {
		h.shoot("stun-integrity", h.udp, build(stun.BindingRequest, stun.TransactionID, user, wrong, stun.Fingerprint))
		h.shoot("stun-integrity", h.udp, build(stun.BindingRequest, stun.TransactionID, user, stun.Fingerprint))
		h.shoot("stun-user", h.udp, build(stun.BindingRequest, stun.TransactionID, nobody, right, stun.Fingerprint))
		h.shoot("stun-user", h.udp, build(stun.BindingRequest, stun.TransactionID))
		h.shoot("stun-answer", h.udp, build(stun.BindingSuccess, stun.TransactionID, forged, stun.Fingerprint))
		h.shoot("stun-answer", h.udp, build(stun.BindingError, stun.TransactionID, stun.CodeRoleConflict, stun.Fingerprint))
		h.shoot("stun-method", h.udp, build(stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.TransactionID))
		h.shoot("stun-method", h.udp, build(stun.NewType(stun.MethodBinding, stun.ClassIndication), stun.TransactionID))
		whole := build(stun.BindingRequest, stun.TransactionID, user, right, stun.Fingerprint)
		h.shoot("stun-shape", h.udp, whole[:len(whole)-1-n])
		damaged := append([]byte{}, whole...)
		damaged[len(damaged)-1-n%4] ^= 1 // FINGERPRINT
		h.shoot("stun-shape", h.udp, damaged)
		damaged = append([]byte{}, whole...)
		damaged[20+n] ^= 0x80 // an attribute's type, length or value
		h.shoot("stun-shape", h.udp, damaged)
	}
}

// Who we are not says which address the gateway has, and answers questions that nobody asked.
func (h *hostile) strangers(addresses []string) {
	for _, a := range addresses {
		c := pretend(a)
		for n := 0; n < 20; n++ {
			h.shoot("stun-pretend", c, build(stun.BindingSuccess, stun.TransactionID, forged))
			h.shoot("stun-pretend", c, build(stun.BindingRequest, stun.TransactionID, stun.NewUsername("a:b"), stun.Fingerprint))
			h.shoot("stun-pretend", c, noise(100))
		}
		_ = c.Close()
	}
}

// Answers to the gateway's checks, for so long: from elsewhere, under another password, without one, and each with an
// address that is forged.
func (h *hostile) answer(ours []string, long time.Duration) {
	elsewhere, err := net.ListenUDP("udp4", nil)
	die(err)
	right, wrong := stun.NewShortTermIntegrity(ours[1]), stun.NewShortTermIntegrity(letters(32))
	buf := make([]byte, 2000)
	_ = h.udp.SetReadDeadline(time.Now().Add(long))
	for {
		n, _, err := h.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		m := &stun.Message{Raw: append([]byte{}, buf[:n]...)}
		if m.Decode() != nil || m.Type != stun.BindingRequest || !bytes.Contains(m.Raw, []byte(ours[0])) {
			continue
		}
		id := stun.NewTransactionIDSetter(m.TransactionID)
		h.shoot("spoofed", elsewhere, build(stun.BindingSuccess, id, forged, right, stun.Fingerprint))
		h.shoot("forged", h.udp, build(stun.BindingSuccess, id, forged, wrong, stun.Fingerprint))
		h.shoot("forged", h.udp, build(stun.BindingSuccess, id, forged, stun.Fingerprint))
		h.shoot("forged", h.udp, build(stun.BindingError, id, stun.CodeRoleConflict, wrong, stun.Fingerprint))
	}
}

func (h *hostile) flood(count int) {
	for n := 0; n < count; n++ {
		h.shoot("flood", h.udp, append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, noise(12+n%40)...))
		if n%50 == 49 {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func cmdHostile(args []string) {
	f := flag.NewFlagSet("hostile", flag.ExitOnError)
	keyFile := f.String("key", "", "file of the private key, base64")
	target := f.String("signal", "", "HOST:PORT")
	gateway := f.String("gateway", "", "its public key")
	port := f.String("port", "", "its HOST:PORT, UDP")
	address := f.String("address", "", "our HOST:PORT, UDP")
	overlay := f.String("overlay", "", "an address inside a tunnel of the gateway's")
	var others list
	f.Var(&others, "pretend", "HOST:PORT of others, whose name we use; several")
	_ = f.Parse(args)

	h := &hostile{own: readKey(*keyFile), heard: make(chan *body, 1000), sent: map[string]int{}}
	var err error
	h.gateway, err = parseKey(*gateway)
	die(err)
	h.to, err = net.ResolveUDPAddr("udp4", *port)
	die(err)
	at, err := net.ResolveUDPAddr("udp4", *address)
	die(err)
	h.udp, err = net.ListenUDP("udp4", at)
	die(err)
	h.signal, err = dial(*target, "", h.own)
	die(err)
	ready := make(chan struct{})
	go func() {
		die(h.signal.receive(func() { close(ready) }, func(e *encrypted) {
			m := &body{}
			if plain, err := open(e.body, h.gateway, h.own); err == nil && m.unmarshal(plain) == nil {
				select {
				case h.heard <- m:
				default:
				}
			}
		}))
	}()
	<-ready
	h.bodies()
	h.fields()
	ours, theirs := h.attempt()
	if len(theirs) != 2 {
		die(fmt.Errorf("the gateway's answer has no credentials"))
	}
	h.candidate("candidate", fmt.Sprintf("1 1 udp 2130706431 %s %d typ host", at.IP, at.Port))
	h.candidates(*overlay)
	h.checks(ours, theirs)
	h.strangers(others)
	h.answer(ours, 2*time.Second)
	h.flood(1500)
	emit("done", map[string]interface{}{"sent": h.sent})
}
