// SPDX-License-Identifier: BSD-3-Clause
//
// One UDP socket for WireGuard and for pion's ICE mux, as NetBird's userspace bind has it. Paths that end
// in our own TURN client have an endpoint that is an ICE connection.
package main

import (
	"encoding/binary"
	"hash/crc32"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
)

type packet struct {
	data []byte
	ep   conn.Endpoint
	from net.Addr
}

type udpEndpoint struct{ addr *net.UDPAddr }

func (e *udpEndpoint) ClearSrc()           {}
func (e *udpEndpoint) SrcToString() string { return "" }
func (e *udpEndpoint) DstToString() string { return e.addr.String() }
func (e *udpEndpoint) DstToBytes() []byte  { return []byte(e.addr.String()) }
func (e *udpEndpoint) DstIP() netip.Addr   { return e.addr.AddrPort().Addr().Unmap() }
func (e *udpEndpoint) SrcIP() netip.Addr   { return netip.Addr{} }

// A relayed path: what WireGuard sends goes into pion's TURN client.
type iceEndpoint struct {
	name string
	conn net.Conn
}

func (e *iceEndpoint) ClearSrc()           {}
func (e *iceEndpoint) SrcToString() string { return "" }
func (e *iceEndpoint) DstToString() string { return e.name }
func (e *iceEndpoint) DstToBytes() []byte  { return []byte(e.name) }
func (e *iceEndpoint) DstIP() netip.Addr   { return netip.MustParseAddr("127.0.0.1") }
func (e *iceEndpoint) SrcIP() netip.Addr   { return netip.Addr{} }

type bind struct {
	udp    *net.UDPConn
	stun   chan packet
	wg     chan packet
	cid    bool // append 0x8100 behind FINGERPRINT, as NetBird does since v0.57
	mu     sync.Mutex
	all    bool // what is no STUN is ICE's as well: WireGuard has a socket of its own
	relays map[string]*iceEndpoint
	closed chan struct{}
	once   sync.Once
}

func newBind(network string, port int, cid bool) (*bind, error) {
	udp, err := net.ListenUDP(network, &net.UDPAddr{Port: port})
	if err != nil {
		return nil, err
	}
	b := &bind{udp: udp, cid: cid, stun: make(chan packet, 1024), wg: make(chan packet, 1024),
		relays: map[string]*iceEndpoint{}, closed: make(chan struct{})}
	go b.read()
	return b, nil
}

func isWireGuard(p []byte) bool {
	t := uint32(0)
	if len(p) >= 32 {
		t = binary.LittleEndian.Uint32(p)
	}
	return t >= 1 && t <= 4
}

func isStun(p []byte) bool {
	return len(p) >= 20 && binary.BigEndian.Uint32(p[4:]) == 0x2112A442
}

func (b *bind) read() {
	buf := make([]byte, 65536)
	for {
		n, from, err := b.udp.ReadFromUDP(buf)
		if err != nil {
			return
		}
		p := packet{data: append([]byte{}, buf[:n]...), from: from}
		to := b.wg
		if b.all || !isWireGuard(p.data) && isStun(p.data) {
			to = b.stun
		} else {
			p.ep = &udpEndpoint{from}
		}
		select {
		case to <- p:
		default:
		}
	}
}

// ---- conn.Bind ----------------------------------------------------------------------------------

func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	receive := func(buf []byte) (int, conn.Endpoint, error) {
		select {
		case p := <-b.wg:
			return copy(buf, p.data), p.ep, nil
		case <-b.closed:
			return 0, nil, net.ErrClosed
		}
	}
	return []conn.ReceiveFunc{receive}, uint16(b.udp.LocalAddr().(*net.UDPAddr).Port), nil
}

// The device closes and opens its bind when it comes up; the socket stays, ICE has it too.
func (b *bind) Close() error         { return nil }
func (b *bind) SetMark(uint32) error { return nil }

func (b *bind) Send(p []byte, ep conn.Endpoint) error {
	switch e := ep.(type) {
	case *iceEndpoint:
		_, err := e.conn.Write(p)
		return err
	case *udpEndpoint:
		_, err := b.udp.WriteToUDP(p, e.addr)
		return err
	}
	return conn.ErrWrongEndpointType
}

func (b *bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.relays[s]; e != nil {
		return e, nil
	}
	a, err := net.ResolveUDPAddr("udp", s)
	if err != nil {
		return nil, err
	}
	return &udpEndpoint{a}, nil
}

// What comes out of the ICE connection goes to WireGuard as from this endpoint.
func (b *bind) addRelay(name string, c net.Conn) {
	e := &iceEndpoint{name, c}
	b.mu.Lock()
	b.relays[name] = e
	b.mu.Unlock()
	go func() {
		buf := make([]byte, 65536)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			select {
			case b.wg <- packet{data: append([]byte{}, buf[:n]...), ep: e}:
			default:
			}
		}
	}()
}

func (b *bind) removeRelay(name string) {
	b.mu.Lock()
	delete(b.relays, name)
	b.mu.Unlock()
}

// ---- the packet connection that pion's mux reads and writes -------------------------------------

type stunConn struct{ *bind }

func (c stunConn) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case m := <-c.stun:
		return copy(p, m.data), m.from, nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c stunConn) WriteTo(p []byte, to net.Addr) (int, error) {
	out := p
	if c.cid && isStun(p) && hasFingerprint(p) {
		out = appendCandidateID(p)
	}
	_, err := c.udp.WriteTo(out, to)
	return len(p), err
}

func (c stunConn) Close() error {
	c.once.Do(func() { close(c.closed); c.udp.Close() })
	return nil
}
func (c stunConn) LocalAddr() net.Addr              { return c.udp.LocalAddr() }
func (c stunConn) SetDeadline(time.Time) error      { return nil }
func (c stunConn) SetReadDeadline(time.Time) error  { return nil }
func (c stunConn) SetWriteDeadline(time.Time) error { return nil }

func hasFingerprint(p []byte) bool {
	n := len(p)
	return n >= 28 && binary.BigEndian.Uint16(p[n-8:]) == 0x8028 &&
		binary.BigEndian.Uint32(p[n-4:]) == crc32.ChecksumIEEE(p[:n-8])^0x5354554e
}

// "localCandidate:remoteCandidate", 32 characters each, and the header's length grows by it.
func appendCandidateID(p []byte) []byte {
	value := make([]byte, 65)
	for i := range value {
		value[i] = 'a' + byte(i%26)
	}
	value[32] = ':'
	out := append([]byte{}, p...)
	out = append(out, 0x81, 0x00, 0, 65)
	out = append(out, value...)
	out = append(out, 0, 0, 0)
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)-20))
	return out
}
