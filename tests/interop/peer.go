// SPDX-License-Identifier: BSD-3-Clause
//
// A peer as NetBird's of 2023: one attempt after the other, offers taken only while one waits, pion's
// timers, WireGuard peer removed at each loss. -head gives it session ids and what follows from them.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/pion/ice/v2"
	"golang.zx2c4.com/wireguard/device"
)

type remote struct {
	engine  *engine
	key     key
	allowed []string
	timeout time.Duration

	offers, answers chan *body // nobody waits, nobody takes; with -keep the last one waits
	modes           chan bool

	mu      sync.Mutex
	agent   *ice.Agent
	cancel  func()
	session []byte // theirs, of the attempt that runs
	next    *body  // -head: an offer that ended an attempt
}

type engine struct {
	own      key
	signal   *signalClient
	bind     *bind // ICE's socket
	wg       *bind // WireGuard's: the same one, or its own as with a kernel's WireGuard
	mux      *ice.UniversalUDPMuxDefault
	device   *device.Device
	urls     []*ice.URL
	v6       bool
	head     bool
	keep     int // how many offers, and answers, wait while we are busy
	relay    bool
	features []uint64
	minWait  time.Duration
	maxWait  time.Duration
	port     int
	remotes  map[string]*remote

	// Of one among many.
	name      string
	checks    bool          // tell of answered ones
	keepalive time.Duration // 0: pion's
}

func between(min, max time.Duration) time.Duration {
	if max <= min {
		return min
	}
	n, _ := rand.Int(rand.Reader, big.NewInt(int64(max-min)))
	return min + time.Duration(n.Int64())
}

func (e *engine) newRemote(k key, allowed []string) *remote {
	return &remote{engine: e, key: k, allowed: allowed, timeout: between(30*time.Second, 45*time.Second),
		offers:  make(chan *body, e.keep),
		answers: make(chan *body, e.keep), modes: make(chan bool, 1)}
}

func (r *remote) emit(what string, more map[string]interface{}) {
	if more == nil {
		more = map[string]interface{}{}
	}
	more["peer"] = r.key.String()
	if r.engine.name != "" {
		more["self"] = r.engine.name
	}
	emit(what, more)
}

// ---- signal -------------------------------------------------------------------------------------

func (e *engine) take(m *encrypted) {
	r := e.remotes[m.from]
	if r == nil {
		emit("unknown", map[string]interface{}{"from": m.from})
		return
	}
	plain, err := open(m.body, r.key, e.own)
	b := &body{}
	if err == nil {
		err = b.unmarshal(plain)
	}
	if err != nil {
		r.emit("bad", map[string]interface{}{"error": err.Error()})
		return
	}
	r.emit("message", map[string]interface{}{"type": b.kind, "payload": b.payload, "features": b.features,
		"session": hex.EncodeToString(b.session), "port": b.port, "direct": b.direct})
	r.take(b)
}

func (r *remote) take(b *body) {
	switch b.kind {
	case typeOffer:
		empty(r.offers)
		select {
		case r.offers <- b:
		default:
			r.offerWhileBusy(b)
		}
	case typeAnswer:
		empty(r.answers)
		select {
		case r.answers <- b:
		default:
			r.emit("dropped", map[string]interface{}{"type": b.kind})
		}
	case typeCandidate:
		r.candidate(b.payload)
	case typeMode:
		select {
		case r.modes <- b.direct:
		default:
		}
	}
}

func empty(c chan *body) {
	select {
	case <-c:
	default:
	}
}

func (r *remote) offerWhileBusy(b *body) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.engine.head || b.session == nil || r.cancel == nil || bytes.Equal(b.session, r.session) {
		r.emit("dropped", map[string]interface{}{"type": b.kind})
		return
	}
	r.next = b
	r.cancel()
}

func (r *remote) candidate(text string) {
	r.mu.Lock()
	agent := r.agent
	r.mu.Unlock()
	if agent == nil {
		r.emit("dropped", map[string]interface{}{"type": typeCandidate})
		return
	}
	c, err := ice.UnmarshalCandidate(text)
	if err == nil {
		err = agent.AddRemoteCandidate(c)
	}
	if err != nil {
		r.emit("bad", map[string]interface{}{"error": err.Error(), "candidate": text})
	}
}

func (r *remote) send(b *body) error {
	err := r.engine.signal.send(r.key, b)
	if err != nil {
		r.emit("send-failed", map[string]interface{}{"type": b.kind, "error": err.Error()})
	}
	return err
}

// ---- an attempt ---------------------------------------------------------------------------------

func letters(n int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	b := make([]byte, n)
	_, _ = rand.Read(b)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

func filter(name string) bool {
	for _, p := range []string{"lo", "wt", "wg", "tun", "docker", "br-", "veth"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	return true
}

func (r *remote) newAgent() (*ice.Agent, error) {
	e := r.engine
	failed := 6 * time.Second
	networks := []ice.NetworkType{ice.NetworkTypeUDP4}
	if e.v6 {
		networks = append(networks, ice.NetworkTypeUDP6)
	}
	types := []ice.CandidateType{ice.CandidateTypeHost, ice.CandidateTypeServerReflexive, ice.CandidateTypeRelay}
	if e.relay {
		types = types[2:]
	}
	c := &ice.AgentConfig{
		MulticastDNSMode: ice.MulticastDNSModeDisabled,
		NetworkTypes:     networks,
		CandidateTypes:   types,
		Urls:             e.urls,
		FailedTimeout:    &failed,
		LocalUfrag:       letters(16),
		LocalPwd:         letters(32),
		InterfaceFilter:  filter,
		UDPMux:           e.mux.UDPMuxDefault,
		UDPMuxSrflx:      e.mux,
	}
	if e.keepalive != 0 {
		c.KeepaliveInterval = &e.keepalive
	}
	if e.checks {
		c.LoggerFactory = newCheckLog(func(d time.Duration) {
			r.emit("answered", map[string]interface{}{"ms": float64(d.Microseconds()) / 1000})
		})
	}
	return ice.NewAgent(c)
}

func (r *remote) watch(agent *ice.Agent, lost func()) error {
	err := agent.OnCandidate(func(c ice.Candidate) {
		if c != nil {
			go func() { _ = r.send(&body{kind: typeCandidate, payload: c.Marshal()}) }()
		}
	})
	if err != nil {
		return err
	}
	return agent.OnConnectionStateChange(func(s ice.ConnectionState) {
		r.emit("ice", map[string]interface{}{"state": s.String()})
		if s == ice.ConnectionStateFailed || s == ice.ConnectionStateDisconnected {
			lost()
		}
	})
}

func (r *remote) say(kind uint64, agent *ice.Agent, session []byte) error {
	ufrag, pwd, err := agent.GetLocalUserCredentials()
	if err != nil {
		return err
	}
	return r.send(&body{kind: kind, payload: ufrag + ":" + pwd, port: uint64(r.engine.port),
		version: "interop", features: r.engine.features, session: session})
}

// Offers, and waits for an offer (answered) or an answer.
func (r *remote) exchange(agent *ice.Agent, session []byte) (*body, error) {
	r.mu.Lock()
	offer := r.next
	r.next = nil
	r.mu.Unlock()
	if offer == nil {
		if err := r.say(typeOffer, agent, session); err != nil {
			return nil, err
		}
		select {
		case offer = <-r.offers:
		case answer := <-r.answers:
			return answer, nil
		case <-time.After(r.timeout):
			return nil, fmt.Errorf("no answer in %v", r.timeout)
		}
	}
	return offer, r.say(typeAnswer, agent, session)
}

func has(list []uint64, v uint64) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// Old peers agree on whether the path is used directly. What the other side said; true when it said nothing.
func (r *remote) modeExchange(direct bool, theirs []uint64) bool {
	if !has(theirs, 1) {
		return direct
	}
	go func() { _ = r.send(&body{kind: typeMode, hasDirect: true, direct: direct, version: "interop"}) }()
	select {
	case theirs := <-r.modes:
		return theirs
	case <-time.After(time.Second):
		return true
	}
}

// With one socket each path but our own relay's is used as it is. A kernel's WireGuard sends from its own port
// to the other's, unless one side does not want that; then through the ICE connection.
func (r *remote) endpoint(pair *ice.CandidatePair, c *ice.Conn, theirs *body) string {
	e := r.engine
	direct := pair.Local.Type() != ice.CandidateTypeRelay
	both := r.modeExchange(direct, theirs.features) && direct
	switch {
	case e.wg == e.bind && direct:
		return net.JoinHostPort(pair.Remote.Address(), fmt.Sprint(pair.Remote.Port()))
	case e.wg != e.bind && both:
		return net.JoinHostPort(pair.Remote.Address(), fmt.Sprint(theirs.port))
	}
	name := "relay-" + r.key.String()
	e.wg.addRelay(name, c)
	return name
}

func (r *remote) attempt() error {
	e := r.engine
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	agent, err := r.newAgent()
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.agent, r.cancel = agent, cancel
	r.mu.Unlock()
	defer r.cleanup(agent)
	if err := r.watch(agent, cancel); err != nil {
		return err
	}
	empty(r.answers)
	var session []byte
	if e.head {
		session = make([]byte, 5)
		_, _ = rand.Read(session)
	}
	theirs, err := r.exchange(agent, session)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.session = theirs.session
	r.mu.Unlock()
	credentials := strings.Split(theirs.payload, ":")
	if len(credentials) != 2 {
		return fmt.Errorf("bad credentials %q", theirs.payload)
	}
	r.emit("status", map[string]interface{}{"status": "connecting"})
	if err := agent.GatherCandidates(); err != nil {
		return err
	}
	var c *ice.Conn
	if e.own.public().String() > r.key.String() {
		c, err = agent.Dial(ctx, credentials[0], credentials[1])
	} else {
		c, err = agent.Accept(ctx, credentials[0], credentials[1])
	}
	if err != nil {
		return err
	}
	if err := r.startWireGuard(agent, c, theirs); err != nil {
		return err
	}
	<-ctx.Done()
	return fmt.Errorf("lost")
}

func (r *remote) startWireGuard(agent *ice.Agent, c *ice.Conn, theirs *body) error {
	e := r.engine
	pair, err := agent.GetSelectedCandidatePair()
	if err != nil {
		return err
	}
	endpoint := r.endpoint(pair, c, theirs)
	set := fmt.Sprintf("public_key=%s\nreplace_allowed_ips=true\npersistent_keepalive_interval=25\nendpoint=%s\n",
		hex.EncodeToString(r.key[:]), endpoint)
	for _, a := range r.allowed {
		set += "allowed_ip=" + a + "\n"
	}
	if err := e.device.IpcSet(set); err != nil {
		return err
	}
	r.emit("status", map[string]interface{}{"status": "connected", "endpoint": endpoint,
		"local": pair.Local.Type().String(), "local_address": fmt.Sprintf("%s:%d", pair.Local.Address(), pair.Local.Port()),
		"remote": pair.Remote.Type().String(), "remote_address": fmt.Sprintf("%s:%d", pair.Remote.Address(), pair.Remote.Port())})
	return nil
}

func (r *remote) cleanup(agent *ice.Agent) {
	r.mu.Lock()
	r.agent, r.cancel, r.session = nil, nil, nil
	r.mu.Unlock()
	_ = r.engine.device.IpcSet("public_key=" + hex.EncodeToString(r.key[:]) + "\nremove=true\n")
	r.engine.wg.removeRelay("relay-" + r.key.String())
	_ = agent.Close()
	r.emit("status", map[string]interface{}{"status": "disconnected"})
}

func (r *remote) run() {
	for {
		r.mu.Lock()
		hurry := r.next != nil
		r.mu.Unlock()
		if !hurry {
			time.Sleep(between(r.engine.minWait, r.engine.maxWait))
		}
		if err := r.attempt(); err != nil {
			r.emit("attempt", map[string]interface{}{"error": err.Error()})
		}
	}
}
