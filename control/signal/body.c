// SPDX-License-Identifier: BSD-3-Clause
//
// protobuf-c does the wire format; here is what NetBird's peers leave out and what they send too much.
#include "body.h"

#include "signalexchange.pb-c.h"

#include <glib.h>

#include <errno.h>
#include <string.h>

struct body {
	struct signal_message message;
	Signalexchange__Body *pb;
};

static bool is_text(const char *s)
{
	return s && s[0];
}

int body_encode(uint8_t out[SIGNAL_BODY_MAX], const struct signal_message *m)
{
	Signalexchange__Body pb = SIGNALEXCHANGE__BODY__INIT;
	Signalexchange__Mode mode = SIGNALEXCHANGE__MODE__INIT;
	size_t len;

	if (m->n_features > SIGNAL_FEATURES_MAX)
		return -EINVAL;
	// proto3 senders leave zero out; only Mode.direct and sessionId have presence.
	pb.has_type = m->type != SIGNAL_OFFER;
	pb.type = m->type;
	pb.payload = is_text(m->payload) ? (char *)m->payload : NULL;
	pb.has_wg_listen_port = m->wg_listen_port != 0;
	pb.wg_listen_port = m->wg_listen_port;
	pb.version = is_text(m->version) ? (char *)m->version : NULL;
	if (m->has_direct) {
		mode.has_direct = true;
		mode.direct = m->direct;
		pb.mode = &mode;
	}
	pb.n_features_supported = m->n_features;
	pb.features_supported = (uint32_t *)m->features;
	if (m->has_session_id) {
		pb.has_session_id = true;
		pb.session_id.data = (uint8_t *)m->session_id;
		pb.session_id.len = SIGNAL_SESSION_ID_LEN;
	}
	len = signalexchange__body__get_packed_size(&pb);
	if (len > SIGNAL_BODY_MAX)
		return -EMSGSIZE;
	return (int)signalexchange__body__pack(&pb, out);
}

// protobuf-c takes any bytes for a string (and ends it at a NUL); these come into logs and JSON.
static bool is_utf8(const char *s)
{
	return !s || g_utf8_validate(s, -1, NULL);
}

static bool fill(struct signal_message *m, const Signalexchange__Body *pb)
{
	m->type = (enum signal_type)pb->type;
	m->payload = pb->payload ? pb->payload : "";
	m->version = pb->version ? pb->version : "";
	m->wg_listen_port = pb->wg_listen_port;
	if (pb->mode) {
		m->has_direct = true;
		m->direct = pb->mode->has_direct && pb->mode->direct;
	}
	m->n_features = MIN((unsigned int)pb->n_features_supported, SIGNAL_FEATURES_MAX);
	if (m->n_features)
		memcpy(m->features, pb->features_supported, m->n_features * sizeof(m->features[0]));
	if (!pb->has_session_id || pb->session_id.len == 0)
		return true;
	if (pb->session_id.len != SIGNAL_SESSION_ID_LEN)
		return false;
	m->has_session_id = true;
	memcpy(m->session_id, pb->session_id.data, SIGNAL_SESSION_ID_LEN);
	return true;
}

struct body *body_decode(const uint8_t *plain, size_t len)
{
	Signalexchange__Body *pb;
	struct body *b;

	if (len > SIGNAL_BODY_MAX)
		return NULL;
	pb = signalexchange__body__unpack(NULL, len, plain);
	if (!pb)
		return NULL;
	b = g_new0(struct body, 1);
	b->pb = pb;
	if (!is_utf8(pb->payload) || !is_utf8(pb->version) || !fill(&b->message, pb)) {
		body_free(b);
		return NULL;
	}
	return b;
}

const struct signal_message *body_message(const struct body *b)
{
	return &b->message;
}

struct signal_message *body_message_edit(struct body *b)
{
	return &b->message;
}

void body_free(struct body *b)
{
	if (!b)
		return;
	signalexchange__body__free_unpacked(b->pb, NULL);
	g_free(b);
}
