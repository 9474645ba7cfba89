// SPDX-License-Identifier: BSD-3-Clause
//
// Many peers of one gateway in one process, each with its own key, port and TUN device. Each tells when its
// checks are answered, by what pion logs of them.
package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/logging"
)

// pion says it in no other way for relayed pairs. An answer belongs to the oldest check that has none: those of a
// connected pair go one after the other.
type checkLog struct {
	logging.LeveledLogger
	answered func(time.Duration)

	mu    sync.Mutex
	asked time.Time
}

func (l *checkLog) NewLogger(string) logging.LeveledLogger { return l }

func (l *checkLog) Tracef(format string, args ...interface{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.HasPrefix(format, "ping STUN from") && l.asked.IsZero() {
		l.asked = time.Now()
	} else if strings.HasPrefix(format, "inbound STUN (SuccessResponse)") && !l.asked.IsZero() {
		l.answered(time.Since(l.asked))
		l.asked = time.Time{}
	}
}

func newCheckLog(answered func(time.Duration)) logging.LoggerFactory {
	quiet := logging.NewDefaultLeveledLoggerForScope("", logging.LogLevelDisabled, io.Discard)
	return &checkLog{LeveledLogger: quiet, answered: answered}
}

func cmdMany(args []string) {
	f := flag.NewFlagSet("many", flag.ExitOnError)
	count := f.Int("count", 50, "peers, numbered from 1")
	keys := f.String("keys", ".", "folder of the private keys mNUMBER.key")
	target := f.String("signal", "", "HOST:PORT")
	port := f.Int("port", 52000, "UDP port of peer 0")
	gateway := f.String("gateway", "", "PUBLIC-KEY,ALLOWED-IP[,...]")
	relayed := f.String("relayed", "0-0", "FIRST-LAST of those that offer relayed candidates only")
	bare := f.String("bare", "0-0", "FIRST-LAST of those that know no TURN server")
	user := f.String("turn-user", "", "")
	password := f.String("turn-password", "", "")
	keep := f.Int("keep", 1, "how many offers and answers wait while a peer is busy")
	dark := f.Bool("dark", false, "no TUN devices: nothing is sent into the tunnels")
	checks := f.Bool("checks", true, "tell of answered checks")
	spread := f.Duration("spread", 0, "between the starts of two peers")
	keepalive := f.Duration("keepalive", 500*time.Millisecond, "between checks of a connected pair")
	var urls list
	f.Var(&urls, "url", "stun:HOST:PORT or turn:HOST:PORT?transport=udp; several")
	_ = f.Parse(args)
	for n := 1; n <= *count; n++ {
		e := &engine{remotes: map[string]*remote{}, name: fmt.Sprintf("m%d", n), keep: *keep, checks: *checks,
			keepalive: *keepalive, relay: within(n, *relayed), minWait: 100 * time.Millisecond,
			maxWait: 300 * time.Millisecond, port: *port + n}
		e.own = readKey(filepath.Join(*keys, e.name+".key"))
		for _, u := range urls {
			url, err := ice.ParseURL(u)
			die(err)
			url.Username, url.Password = *user, *password
			if url.Scheme == ice.SchemeTypeSTUN || !within(n, *bare) {
				e.urls = append(e.urls, url)
			}
		}
		device := e.name
		if *dark {
			device = ""
		}
		die(e.open(*target, "", device, false, 0))
		e.add(*gateway)
		go e.run()
		time.Sleep(*spread)
	}
	emit("started", nil)
	select {}
}

// Writes them, and prints the public ones.
func cmdKeys(args []string) {
	f := flag.NewFlagSet("keys", flag.ExitOnError)
	count := f.Int("count", 50, "peers, numbered from 1")
	keys := f.String("keys", ".", "folder for the private keys mNUMBER.key")
	_ = f.Parse(args)
	for n := 1; n <= *count; n++ {
		var k key
		_, err := rand.Read(k[:])
		die(err)
		name := fmt.Sprintf("m%d", n)
		die(os.WriteFile(filepath.Join(*keys, name+".key"), []byte(k.String()+"\n"), 0o600))
		emit("key", map[string]interface{}{"name": name, "number": n, "public_key": k.public().String()})
	}
}

func within(n int, bounds string) bool {
	var first, last int
	_, err := fmt.Sscanf(bounds, "%d-%d", &first, &last)
	die(err)
	return n >= first && n <= last
}
