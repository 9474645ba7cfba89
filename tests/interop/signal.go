// SPDX-License-Identifier: BSD-3-Clause
//
// The signal service over grpc-go: a client as NetBird's, and a server with its faults by flags.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/ioutil"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	sendMethod   = "/signalexchange.SignalExchange/Send"
	streamMethod = "/signalexchange.SignalExchange/ConnectStream"
)

// The messages marshal themselves.
type codec struct{}

func (codec) Name() string   { return "proto" }
func (codec) String() string { return "proto" }
func (codec) Marshal(v interface{}) ([]byte, error) {
	return v.(*encrypted).marshal(), nil
}
func (codec) Unmarshal(b []byte, v interface{}) error {
	return v.(*encrypted).unmarshal(b)
}

// ---- client -------------------------------------------------------------------------------------

type signalClient struct {
	conn *grpc.ClientConn
	own  key
}

func dial(target, ca string, own key) (*signalClient, error) {
	opts := []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{})),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 15 * time.Second, Timeout: 10 * time.Second}),
	}
	if ca != "" {
		pem, err := ioutil.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		opts = append(opts, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool})))
	} else {
		opts = append(opts, grpc.WithInsecure())
	}
	conn, err := grpc.Dial(target, opts...)
	return &signalClient{conn, own}, err
}

func (c *signalClient) sendRaw(e *encrypted) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return c.conn.Invoke(ctx, sendMethod, e, &encrypted{})
}

func (c *signalClient) send(to key, m *body) error {
	return c.sendRaw(&encrypted{c.own.public().String(), to.String(), seal(m.marshal(), to, c.own)})
}

// Registers and calls f with each message, until the stream ends.
func (c *signalClient) receive(ready func(), f func(*encrypted)) error {
	ctx := metadata.AppendToOutgoingContext(context.Background(), "x-wiretrustee-peer-id", c.own.public().String())
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	s, err := c.conn.NewStream(ctx, desc, streamMethod, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	h, err := s.Header()
	if err != nil {
		return err
	}
	if v := h.Get("x-wiretrustee-peer-registered"); len(v) != 1 || v[0] != "1" {
		return errors.New("not registered")
	}
	ready()
	for {
		e := &encrypted{}
		if err := s.RecvMsg(e); err != nil {
			return err
		}
		f(e)
	}
}

// ---- server -------------------------------------------------------------------------------------

type signalServer struct {
	mu       sync.Mutex
	streams  map[string]grpc.ServerStream
	deaf     bool   // takes messages and delivers none
	silent   bool   // does not say that a peer is registered
	anyone   bool   // senders need not be registered, as at newer servers
	stranger []byte // a body that each message is followed by, from a key of its own
	sendLock sync.Mutex
}

func (s *signalServer) send(e *encrypted) error {
	s.mu.Lock()
	from, to := s.streams[e.from], s.streams[e.to]
	s.mu.Unlock()
	if from == nil && !s.anyone {
		return fmt.Errorf("peer %s is not registered", e.from)
	}
	if to == nil || s.deaf {
		return nil
	}
	s.sendLock.Lock()
	defer s.sendLock.Unlock()
	_ = to.SendMsg(e)
	if s.stranger != nil { // also from the sender itself
		_ = to.SendMsg(&encrypted{key{1}.String(), e.to, s.stranger})
		_ = to.SendMsg(&encrypted{e.from, e.to, s.stranger})
	}
	return nil
}

func (s *signalServer) stream(ss grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(ss.Context())
	id := md.Get("x-wiretrustee-peer-id")
	if len(id) != 1 {
		return status.Error(codes.FailedPrecondition, "missing connection header")
	}
	s.mu.Lock()
	s.streams[id[0]] = ss
	s.mu.Unlock()
	emit("registered", map[string]interface{}{"key": id[0]})
	if !s.silent {
		_ = ss.SendHeader(metadata.Pairs("x-wiretrustee-peer-registered", "1"))
	}
	<-ss.Context().Done()
	s.mu.Lock()
	if s.streams[id[0]] == ss {
		delete(s.streams, id[0])
	}
	s.mu.Unlock()
	emit("unregistered", map[string]interface{}{"key": id[0]})
	return nil
}

func (s *signalServer) serve(listen, cert, certKey string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	opts := []grpc.ServerOption{
		grpc.CustomCodec(codec{}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 15 * time.Second, Time: 5 * time.Second, Timeout: 2 * time.Second}),
	}
	if cert != "" {
		creds, err := credentials.NewServerTLSFromFile(cert, certKey)
		if err != nil {
			return err
		}
		opts = append(opts, grpc.Creds(creds))
	}
	g := grpc.NewServer(opts...)
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: "signalexchange.SignalExchange",
		HandlerType: (*interface{})(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Send", Handler: func(srv interface{}, ctx context.Context, dec func(interface{}) error, _ grpc.UnaryServerInterceptor) (interface{}, error) {
			e := &encrypted{}
			if err := dec(e); err != nil {
				return nil, err
			}
			return &encrypted{}, s.send(e)
		}}},
		Streams: []grpc.StreamDesc{{StreamName: "ConnectStream", ServerStreams: true, ClientStreams: true,
			Handler: func(srv interface{}, ss grpc.ServerStream) error { return s.stream(ss) }}},
	}, s)
	emit("listening", map[string]interface{}{"address": l.Addr().String()})
	return g.Serve(l)
}
