// SPDX-License-Identifier: BSD-3-Clause
//
// ICE agents of pion (what NetBird uses), driven by the lines that tests/tools/icepeer.c knows: start, creds,
// cand, drop in; creds, cand, nominated, state out. Timings are NetBird's. Data that comes is echoed.
//
//	usage: pionpeer [--server URL USER PASSWORD]... [--relay-only]
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pion/ice/v2"
)

type session struct {
	agent       *ice.Agent
	controlling bool
}

var (
	out      sync.Mutex
	sessions = map[string]*session{}
	urls     []*ice.URL
	types    = []ice.CandidateType{ice.CandidateTypeHost, ice.CandidateTypeServerReflexive, ice.CandidateTypeRelay}
)

func say(format string, args ...interface{}) {
	out.Lock()
	defer out.Unlock()
	fmt.Printf(format+"\n", args...)
}

func start(id string, controlling bool) error {
	failed := 6 * time.Second
	agent, err := ice.NewAgent(&ice.AgentConfig{
		MulticastDNSMode: ice.MulticastDNSModeDisabled,
		NetworkTypes:     []ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeUDP6},
		Urls:             urls,
		CandidateTypes:   types,
		FailedTimeout:    &failed,
	})
	if err != nil {
		return err
	}
	s := &session{agent, controlling}
	sessions[id] = s
	agent.OnCandidate(func(c ice.Candidate) {
		if c != nil {
			say("cand %s %s", id, c.Marshal())
		}
	})
	agent.OnConnectionStateChange(func(state ice.ConnectionState) { say("state %s %s", id, state) })
	agent.OnSelectedCandidatePairChange(func(l, r ice.Candidate) {
		say("nominated %s %s %s %s:%d %s:%d", id, l.Type(), r.Type(), l.Address(), l.Port(), r.Address(), r.Port())
	})
	ufrag, pwd, err := agent.GetLocalUserCredentials()
	if err != nil {
		return err
	}
	say("creds %s %s %s", id, ufrag, pwd)
	return nil
}

func connect(id string, s *session, ufrag, pwd string) {
	var conn *ice.Conn
	err := s.agent.GatherCandidates()
	if err == nil && s.controlling {
		conn, err = s.agent.Dial(context.Background(), ufrag, pwd)
	} else if err == nil {
		conn, err = s.agent.Accept(context.Background(), ufrag, pwd)
	}
	if err != nil {
		say("failed %s %v", id, err)
		return
	}
	say("connected %s", id)
	buf := make([]byte, 2048)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		say("data %s %d", id, n)
		if _, err = conn.Write(buf[:n]); err != nil {
			return
		}
	}
}

func command(w []string) error {
	if len(w) < 2 {
		return nil
	}
	s := sessions[w[1]]
	switch {
	case w[0] == "start" && len(w) == 3:
		return start(w[1], strings.HasSuffix(w[2], "controlling"))
	case w[0] == "creds" && len(w) == 4 && s != nil:
		go connect(w[1], s, w[2], w[3])
	case w[0] == "cand" && s != nil:
		c, err := ice.UnmarshalCandidate(strings.Join(w[2:], " "))
		if err != nil {
			return err
		}
		return s.agent.AddRemoteCandidate(c)
	case w[0] == "drop" && s != nil:
		delete(sessions, w[1])
		return s.agent.Close()
	}
	return nil
}

func main() {
	for n := 1; n < len(os.Args); n++ {
		if os.Args[n] == "--relay-only" {
			types = []ice.CandidateType{ice.CandidateTypeRelay}
			continue
		}
		url, err := ice.ParseURL(os.Args[n+1])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		url.Username, url.Password = os.Args[n+2], os.Args[n+3]
		urls = append(urls, url)
		n += 3
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := command(strings.Fields(in.Text())); err != nil {
			say("error %v", err)
		}
	}
}
