// SPDX-License-Identifier: BSD-3-Clause
//
// Clients of a TURN server by pion/turn, which NetBird's peers and many others use.
//
//	turnpeer proxy  what comes to a local UDP port goes through an allocation to one peer, and back
//	turnpeer pair   two clients send each other numbered datagrams through their relayed addresses
package main

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/pion/turn/v2"
)

type server struct{ addr, user, password, realm string }

type client struct {
	turn    *turn.Client
	relayed net.PacketConn
}

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "turnpeer:", err)
		os.Exit(1)
	}
}

func (s *server) dial(transport string) (net.PacketConn, error) {
	switch transport {
	case "udp":
		return net.ListenPacket("udp", ":0")
	case "tcp":
		c, err := net.Dial("tcp", s.addr)
		return turn.NewSTUNConn(c), err
	case "tls":
		// The certificate is the lab's own.
		c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"stun.turn"}})
		return turn.NewSTUNConn(c), err
	}
	return nil, errors.New("no transport " + transport)
}

func (s *server) allocate(transport string) (*client, error) {
	conn, err := s.dial(transport)
	if err != nil {
		return nil, err
	}
	c, err := turn.NewClient(&turn.ClientConfig{STUNServerAddr: s.addr, TURNServerAddr: s.addr, Conn: conn,
		Username: s.user, Password: s.password, Realm: s.realm})
	if err == nil {
		err = c.Listen()
	}
	if err != nil {
		return nil, err
	}
	relayed, err := c.Allocate()
	return &client{c, relayed}, err
}

func (c *client) close() {
	_ = c.relayed.Close()
	time.Sleep(100 * time.Millisecond) // its Refresh of zero is under way
	c.turn.Close()
}

func proxy(s *server, transport, listen, to string) {
	c, err := s.allocate(transport)
	die(err)
	peer, err := net.ResolveUDPAddr("udp", to)
	die(err)
	local, err := net.ListenPacket("udp", listen)
	die(err)
	die(c.turn.CreatePermission(peer))
	fmt.Println("relayed", c.relayed.LocalAddr())
	var last atomic.Value // net.Addr of who spoke to the local port
	go func() {
		buf := make([]byte, 65536)
		for {
			n, _, err := c.relayed.ReadFrom(buf)
			die(err)
			if a, ok := last.Load().(net.Addr); ok {
				_, _ = local.WriteTo(buf[:n], a)
			}
		}
	}()
	buf := make([]byte, 65536)
	for {
		n, from, err := local.ReadFrom(buf)
		die(err)
		last.Store(from)
		_, err = c.relayed.WriteTo(buf[:n], peer)
		die(err)
	}
}

// Sends count numbers to the other and takes what the other sends; true when each came once.
func exchange(c *client, to net.Addr, count, size int, done chan<- error) {
	go func() {
		p := make([]byte, size)
		for i := 0; i < count; i++ {
			binary.BigEndian.PutUint32(p, uint32(i))
			if _, err := c.relayed.WriteTo(p, to); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	seen := make([]bool, count)
	buf := make([]byte, 65536)
	for got := 0; got < count; {
		_ = c.relayed.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, from, err := c.relayed.ReadFrom(buf)
		if err != nil {
			done <- fmt.Errorf("%d of %d came: %w", got, count, err)
			return
		}
		i := int(binary.BigEndian.Uint32(buf))
		if n != size || from.String() != to.String() || i >= count || seen[i] {
			done <- fmt.Errorf("number %d with %d bytes from %v", i, n, from)
			return
		}
		seen[i] = true
		got++
	}
	done <- nil
}

func pair(s *server, first, second string, count, size int) {
	a, err := s.allocate(first)
	die(err)
	b, err := s.allocate(second)
	die(err)
	die(a.turn.CreatePermission(b.relayed.LocalAddr()))
	die(b.turn.CreatePermission(a.relayed.LocalAddr()))
	done := make(chan error, 2)
	go exchange(a, b.relayed.LocalAddr(), count, size, done)
	go exchange(b, a.relayed.LocalAddr(), count, size, done)
	die(<-done)
	die(<-done)
	a.close()
	b.close()
	fmt.Println("each number came once, both ways")
}

func main() {
	s := &server{}
	f := flag.NewFlagSet("turnpeer", flag.ExitOnError)
	f.StringVar(&s.addr, "server", "", "HOST:PORT")
	f.StringVar(&s.user, "user", "", "")
	f.StringVar(&s.password, "password", "", "")
	f.StringVar(&s.realm, "realm", "", "")
	transport := f.String("transport", "udp", "udp, tcp or tls")
	other := f.String("other", "udp", "pair: transport of the second client")
	listen := f.String("listen", "127.0.0.1:51821", "proxy: local UDP port")
	peer := f.String("peer", "", "proxy: HOST:PORT")
	count := f.Int("count", 200, "pair: datagrams each way")
	size := f.Int("size", 333, "pair: bytes of each")
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: turnpeer proxy|pair [-help] ...")
		os.Exit(2)
	}
	_ = f.Parse(os.Args[2:])
	switch os.Args[1] {
	case "proxy":
		proxy(s, *transport, *listen, *peer)
	case "pair":
		pair(s, *transport, *other, *count, *size)
	default:
		die(errors.New("no command " + os.Args[1]))
	}
}
