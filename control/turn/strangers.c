// SPDX-License-Identifier: BSD-3-Clause
//
// The queue of strangers: messages of 5-tuples that have no allocation and no nonce of ours. They are answered a few
// at a time when the main loop has nothing more urgent, so that a flood of them does not delay the refresh of an
// established user. Main loop thread.
#include "server_parts.h"

#include <string.h>

#define STRANGERS_MAX   1024 // that wait; a later one is dropped, and asks again if it is somebody
#define ANSWERS_AT_ONCE 8    // then others have their turn
#define PRIORITY        (G_PRIORITY_DEFAULT + 20)

struct stranger {
	struct turn_tuple from;
	uint16_t len;
	uint8_t data[];
};

struct turn_strangers {
	struct turn_core *core;
	GQueue queue; // of struct stranger *
	unsigned int source;
};

struct turn_strangers *turn_strangers_new(struct turn_core *core)
{
	struct turn_strangers *s = g_new0(struct turn_strangers, 1);

	s->core = core;
	g_queue_init(&s->queue);
	return s;
}

void turn_strangers_free(struct turn_strangers *s)
{
	if (!s)
		return;
	if (s->source)
		g_source_remove(s->source);
	g_queue_clear_full(&s->queue, g_free);
	g_free(s);
}

void turn_strangers_answer(struct turn_strangers *s)
{
	for (int i = 0; i < ANSWERS_AT_ONCE && s->queue.length; i++) {
		struct stranger *m = g_queue_pop_head(&s->queue);

		turn_core_receive(s->core, &m->from, m->data, m->len);
		g_free(m);
	}
}

static gboolean on_turn(gpointer arg)
{
	struct turn_strangers *s = arg;

	turn_core_clock(s->core);
	turn_strangers_answer(s);
	if (s->queue.length)
		return G_SOURCE_CONTINUE;
	s->source = 0;
	return G_SOURCE_REMOVE;
}

void turn_strangers_add(
	struct turn_strangers *s, const struct turn_tuple *from, const uint8_t *data, uint16_t len)
{
	struct stranger *m;

	if (s->queue.length >= STRANGERS_MAX) {
		s->core->stats.strangers_dropped++;
		return;
	}
	m = g_malloc(sizeof(*m) + len);
	m->from = *from;
	m->len = len;
	memcpy(m->data, data, len);
	g_queue_push_tail(&s->queue, m);
	if (!s->source)
		s->source = g_idle_add_full(PRIORITY, on_turn, s, NULL);
}
