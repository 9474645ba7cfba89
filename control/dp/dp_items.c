// SPDX-License-Identifier: BSD-3-Clause
//
// Copies of dumped objects. Main loop thread; it knows no kind.
#include "dp_items.h"

#include <string.h>
#include <unistd.h>

struct saved {
	struct dp_item item;
	uint8_t *data;
};

static void saved_free(void *p)
{
	struct saved *s = p;

	if (s->item.fd >= 0)
		close(s->item.fd);
	g_free(s->data);
	g_free(s);
}

GPtrArray *dp_items_new(void)
{
	return g_ptr_array_new_with_free_func(saved_free);
}

void dp_items_add(GPtrArray *items, const struct st_msg *m, const void *body, const void *blob, int fd)
{
	struct saved *s = g_new0(struct saved, 1);

	s->data = g_malloc((gsize)m->body_len + m->blob_len + 1);
	memcpy(s->data, body, m->body_len);
	memcpy(s->data + m->body_len, blob, m->blob_len);
	s->item.kind = m->kind;
	s->item.body = s->data;
	s->item.body_len = m->body_len;
	s->item.blob = s->data + m->body_len;
	s->item.blob_len = m->blob_len;
	s->item.expiry_ms = m->expiry_ms;
	s->item.fd = fd;
	g_ptr_array_add(items, s);
}

void dp_items_give(GPtrArray *items, void (*item)(const struct dp_item *item, void *arg), void *arg)
{
	for (unsigned int i = 0; i < items->len; i++) {
		struct saved *s = items->pdata[i];
		struct dp_item copy = s->item;

		s->item.fd = -1; // the receiver's
		item(&copy, arg);
	}
	g_ptr_array_free(items, TRUE);
}
