// SPDX-License-Identifier: BSD-3-Clause
//
// nbpeer: the other side of the interop tests, made of other people's libraries (pion, grpc-go,
// wireguard-go). Events are JSON lines on stdout.
//
//	nbpeer peer    a NetBird-format peer with a TUN device
//	nbpeer many    many peers of one gateway, in one process
//	nbpeer keys    keys for them
//	nbpeer server  a signal server as NetBird's, with faults by flags
//	nbpeer client  registers at a signal server, says one thing, prints what it hears
//	nbpeer hostile a known peer that says and sends everything wrong
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pion/ice/v2"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/tun/tuntest"
	"google.golang.org/grpc"
)

var (
	begun  = time.Now()
	output sync.Mutex
)

func emit(what string, more map[string]interface{}) {
	if more == nil {
		more = map[string]interface{}{}
	}
	more["event"] = what
	more["t"] = time.Since(begun).Seconds()
	more["time"] = float64(time.Now().UnixNano()) / 1e9
	output.Lock()
	defer output.Unlock()
	_ = json.NewEncoder(os.Stdout).Encode(more)
}

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "nbpeer:", err)
		os.Exit(1)
	}
}

type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func readKey(file string) key {
	text, err := os.ReadFile(file)
	die(err)
	k, err := parseKey(strings.TrimSpace(string(text)))
	die(err)
	return k
}

func cmdServer(args []string) {
	f := flag.NewFlagSet("server", flag.ExitOnError)
	s := &signalServer{streams: map[string]grpc.ServerStream{}}
	listen := f.String("listen", "127.0.0.1:10000", "address")
	cert := f.String("cert", "", "PEM; TLS")
	certKey := f.String("cert-key", "", "PEM")
	stranger := f.Int("stranger", -1, "after each message one of so many random bytes, from its sender and from a stranger")
	f.BoolVar(&s.deaf, "deaf", false, "take messages, deliver none")
	f.BoolVar(&s.anyone, "anyone", false, "take messages of senders that are not registered")
	f.BoolVar(&s.silent, "silent", false, "never say that a peer is registered")
	_ = f.Parse(args)
	if *stranger >= 0 {
		s.stranger = make([]byte, *stranger)
		_, _ = rand.Read(s.stranger)
	}
	die(s.serve(*listen, *cert, *certKey))
}

func cmdClient(args []string) {
	f := flag.NewFlagSet("client", flag.ExitOnError)
	keyFile := f.String("key", "", "file of the private key, base64")
	target := f.String("signal", "127.0.0.1:10000", "HOST:PORT")
	ca := f.String("ca", "", "PEM; TLS")
	to := f.String("to", "", "public key to say something to")
	kind := f.Uint64("type", typeOffer, "of the message")
	payload := f.String("payload", "", "of the message")
	raw := f.Int("raw", -1, "send so many random bytes as body instead")
	step := f.Int("raw-step", 0, "each further body is so much longer")
	register := f.Bool("register", true, "have a stream before sending")
	count := f.Int("count", 1, "messages to send")
	linger := f.Duration("linger", 0, "go on listening so long")
	_ = f.Parse(args)
	own := readKey(*keyFile)
	c, err := dial(*target, *ca, own)
	die(err)
	ready := make(chan struct{})
	hear := func(e *encrypted) {
		b := &body{}
		from, err := parseKey(e.from)
		var plain []byte
		if err == nil {
			plain, err = open(e.body, from, own)
		}
		if err == nil {
			err = b.unmarshal(plain)
		}
		emit("message", map[string]interface{}{"from": e.from, "type": b.kind, "payload": b.payload, "port": b.port,
			"version": b.version, "features": b.features, "session": hex.EncodeToString(b.session), "error": fmt.Sprint(err)})
	}
	if *register {
		go func() {
			err := c.receive(func() { emit("ready", nil); close(ready) }, hear)
			emit("ended", map[string]interface{}{"error": fmt.Sprint(err)})
		}()
		<-ready
	}
	if *to != "" {
		clientSay(c, *to, &body{kind: *kind, payload: *payload, version: "interop"}, *raw, *step, *count)
	}
	time.Sleep(*linger)
}

func clientSay(c *signalClient, to string, m *body, raw, step, count int) {
	receiver, err := parseKey(to)
	die(err)
	for i := 0; i < count; i++ {
		if raw >= 0 {
			e := &encrypted{c.own.public().String(), to, make([]byte, raw+i*step)}
			_, _ = rand.Read(e.body)
			err = c.sendRaw(e)
		} else {
			err = c.send(receiver, m)
		}
		emit("sent", map[string]interface{}{"error": fmt.Sprint(err)})
	}
}

func cmdPeer(args []string) {
	f := flag.NewFlagSet("peer", flag.ExitOnError)
	var peers, urls list
	keyFile := f.String("key", "", "file of the private key, base64")
	target := f.String("signal", "", "HOST:PORT")
	ca := f.String("ca", "", "PEM; TLS")
	port := f.Int("port", 51820, "UDP, for WireGuard and ICE")
	name := f.String("tun", "utun0", "TUN device")
	user := f.String("turn-user", "", "")
	password := f.String("turn-password", "", "")
	min := f.Duration("wait-min", 500*time.Millisecond, "before each attempt")
	max := f.Duration("wait-max", 2*time.Second, "")
	kernel := f.Int("kernel", 0, "WireGuard on this port of its own, as a kernel's")
	oldest := f.Bool("no-mode", false, "do not announce MODE (feature 1)")
	cid := f.Bool("cid", false, "attribute 0x8100 behind FINGERPRINT")
	e := &engine{remotes: map[string]*remote{}}
	f.BoolVar(&e.head, "head", false, "session ids as newer peers; no MODE")
	f.IntVar(&e.keep, "keep", 0, "1: an offer or answer that comes while busy waits instead of being lost")
	f.BoolVar(&e.v6, "v6", false, "IPv6 as well")
	f.BoolVar(&e.relay, "relay-only", false, "only relayed candidates")
	f.Var(&peers, "peer", "PUBLIC-KEY,ALLOWED-IP[,ALLOWED-IP...]; several")
	f.Var(&urls, "url", "stun:HOST:PORT or turn:HOST:PORT?transport=udp; several")
	_ = f.Parse(args)

	e.own, e.minWait, e.maxWait, e.port = readKey(*keyFile), *min, *max, *port
	if !*oldest && !e.head {
		e.features = []uint64{1}
	}
	for _, u := range urls {
		url, err := ice.ParseURL(u)
		die(err)
		url.Username, url.Password = *user, *password
		e.urls = append(e.urls, url)
	}
	die(e.open(*target, *ca, *name, *cid, *kernel))
	for _, p := range peers {
		e.add(p)
	}
	emit("started", nil)
	e.run()
}

// Sockets, TUN device (name "": one that nobody reads) and WireGuard of a peer.
// kernel: the port of WireGuard's own socket, 0 = it shares that of ICE.
func (e *engine) open(target, ca, name string, cid bool, kernel int) (err error) {
	network := "udp4"
	if e.v6 {
		network = "udp"
	}
	if e.bind, err = newBind(network, e.port, cid); err != nil {
		return err
	}
	e.wg = e.bind
	if kernel != 0 {
		e.bind.all, e.port = true, kernel
		if e.wg, err = newBind(network, kernel, false); err != nil {
			return err
		}
	}
	e.mux = ice.NewUniversalUDPMuxDefault(ice.UniversalUDPMuxParams{UDPConn: stunConn{e.bind}})
	if e.signal, err = dial(target, ca, e.own); err != nil {
		return err
	}
	t := tuntest.NewChannelTUN().TUN()
	if name != "" {
		if t, err = tun.CreateTUN(name, 1280); err != nil {
			return err
		}
	}
	e.device = device.NewDevice(t, e.wg, &device.Logger{Verbosef: device.DiscardLogf, Errorf: func(format string, args ...interface{}) {
		emit("wireguard", map[string]interface{}{"error": fmt.Sprintf(format, args...)})
	}})
	if err = e.device.IpcSet("private_key=" + hex.EncodeToString(e.own[:]) + "\n"); err != nil {
		return err
	}
	return e.device.Up()
}

func (e *engine) add(peer string) {
	part := strings.Split(peer, ",")
	k, err := parseKey(part[0])
	die(err)
	e.remotes[k.String()] = e.newRemote(k, part[1:])
}

func (e *engine) run() {
	for _, r := range e.remotes {
		go r.run()
	}
	for {
		err := e.signal.receive(func() { emit("signal", map[string]interface{}{"up": true}) }, e.take)
		emit("signal", map[string]interface{}{"up": false, "error": fmt.Sprint(err)})
		time.Sleep(800 * time.Millisecond)
	}
}

func main() {
	commands := map[string]func([]string){"peer": cmdPeer, "many": cmdMany, "keys": cmdKeys, "server": cmdServer, "client": cmdClient,
		"hostile": cmdHostile}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: nbpeer peer|many|keys|server|client|hostile [-help] ...")
		os.Exit(2)
	}
	commands[os.Args[1]](os.Args[2:])
}
