// SPDX-License-Identifier: BSD-3-Clause
//
// Encoding of messages to the data plane. Main loop thread; nothing is sent from here.
#include "dp_out.h"

#include <glib.h>
#include <sodium.h>

#include <string.h>
#include <unistd.h>

struct dp_out *dp_out_new(const struct dp_parts *p, uint32_t seq)
{
	struct st_msg m = {
		.op = p->op,
		.kind = p->kind,
		.seq = seq,
		.body_len = p->body_len,
		.blob_len = p->blob_len,
		.expiry_ms = p->expiry_ms,
	};
	struct dp_out *o = g_new0(struct dp_out, 1);

	o->fd = -1;
	o->secret = p->secret;
	o->len = sizeof(m) + p->body_len + p->blob_len;
	o->data = p->secret ? sodium_malloc(o->len) : g_malloc(o->len);
	if (!o->data)
		g_error("dp: out of locked memory for a session key");
	memcpy(o->data, &m, sizeof(m));
	if (p->body_len)
		memcpy(o->data + sizeof(m), p->body, p->body_len);
	if (p->blob_len)
		memcpy(o->data + sizeof(m) + p->body_len, p->blob, p->blob_len);
	return o;
}

void dp_out_free(void *out)
{
	struct dp_out *o = out;

	if (!o)
		return;
	if (o->fd >= 0)
		close(o->fd);
	if (o->secret)
		sodium_free(o->data); // wipes
	else
		g_free(o->data);
	g_free(o);
}

const struct st_msg *dp_out_header(const struct dp_out *o)
{
	return (const void *)o->data;
}
