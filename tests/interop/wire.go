// SPDX-License-Identifier: BSD-3-Clause
//
// NetBird's signal messages: protobuf by protowire, the box by x/crypto. No generated code.
package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/crypto/curve25519"
	"golang.org/x/crypto/nacl/box"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	typeOffer = iota
	typeAnswer
	typeCandidate
	_
	typeMode
	typeGoIdle
	typeHeartbeat
)

type key [32]byte

func (k key) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

func parseKey(s string) (k key, err error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err == nil && len(b) != 32 {
		err = errors.New("a key has 32 bytes")
	}
	copy(k[:], b)
	return
}

func (k key) public() (p key) {
	curve25519.ScalarBaseMult((*[32]byte)(&p), (*[32]byte)(&k))
	return
}

type encrypted struct {
	from, to string
	body     []byte
}

func (e *encrypted) marshal() (b []byte) {
	if e.from != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), e.from)
	}
	if e.to != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 3, protowire.BytesType), e.to)
	}
	if e.body != nil {
		b = protowire.AppendBytes(protowire.AppendTag(b, 4, protowire.BytesType), e.body)
	}
	return
}

// Calls f with each field: v for varints, data for bytes.
func fields(b []byte, f func(n protowire.Number, v uint64, data []byte)) error {
	for len(b) > 0 {
		n, t, l := protowire.ConsumeTag(b)
		if l < 0 {
			return protowire.ParseError(l)
		}
		b = b[l:]
		var v uint64
		var data []byte
		switch t {
		case protowire.VarintType:
			v, l = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			data, l = protowire.ConsumeBytes(b)
		default:
			l = protowire.ConsumeFieldValue(n, t, b)
		}
		if l < 0 {
			return protowire.ParseError(l)
		}
		b = b[l:]
		f(n, v, data)
	}
	return nil
}

func (e *encrypted) unmarshal(b []byte) error {
	*e = encrypted{}
	return fields(b, func(n protowire.Number, v uint64, data []byte) {
		switch n {
		case 2:
			e.from = string(data)
		case 3:
			e.to = string(data)
		case 4:
			e.body = append([]byte{}, data...)
		}
	})
}

type body struct {
	kind      uint64
	payload   string
	port      uint64
	version   string
	hasDirect bool
	direct    bool
	features  []uint64
	session   []byte
}

func (m *body) marshal() (b []byte) {
	varint := func(n protowire.Number, v uint64) {
		b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
	}
	bytes := func(n protowire.Number, v []byte) {
		b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	if m.kind != 0 {
		varint(1, m.kind)
	}
	if m.payload != "" {
		bytes(2, []byte(m.payload))
	}
	if m.port != 0 {
		varint(3, m.port)
	}
	if m.version != "" {
		bytes(4, []byte(m.version))
	}
	if m.hasDirect {
		d := []byte{8, 0}
		if m.direct {
			d[1] = 1
		}
		bytes(5, d)
	}
	if len(m.features) > 0 {
		var packed []byte
		for _, f := range m.features {
			packed = protowire.AppendVarint(packed, f)
		}
		bytes(6, packed)
	}
	if m.session != nil {
		bytes(10, m.session)
	}
	return
}

func (m *body) unmarshal(b []byte) error {
	*m = body{}
	return fields(b, func(n protowire.Number, v uint64, data []byte) {
		switch n {
		case 1:
			m.kind = v
		case 2:
			m.payload = string(data)
		case 3:
			m.port = v
		case 4:
			m.version = string(data)
		case 5:
			m.hasDirect = true
			_ = fields(data, func(n protowire.Number, v uint64, _ []byte) {
				if n == 1 {
					m.direct = v != 0
				}
			})
		case 6:
			for len(data) > 0 {
				f, l := protowire.ConsumeVarint(data)
				if l < 0 {
					return
				}
				m.features = append(m.features, f)
				data = data[l:]
			}
		case 10:
			m.session = append([]byte{}, data...)
		}
	})
}

func seal(plain []byte, to, from key) []byte {
	var nonce [24]byte
	_, _ = rand.Read(nonce[:])
	return box.Seal(nonce[:], plain, &nonce, (*[32]byte)(&to), (*[32]byte)(&from))
}

func open(b []byte, from, to key) ([]byte, error) {
	if len(b) < 40 {
		return nil, fmt.Errorf("%d bytes are no box", len(b))
	}
	var nonce [24]byte
	copy(nonce[:], b)
	plain, ok := box.Open(nil, b[24:], &nonce, (*[32]byte)(&from), (*[32]byte)(&to))
	if !ok {
		return nil, errors.New("the box does not open")
	}
	return plain, nil
}
