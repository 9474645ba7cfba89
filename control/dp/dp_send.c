// SPDX-License-Identifier: BSD-3-Clause
//
// See dp_send.h: requests, the sync, and the order of everything sent.
#include "dp_send.h"

#include <errno.h>
#include <string.h>

#define WINDOW    1024  // requests without an answer; what comes then waits here
#define QUEUE_MAX 65536 // changes that wait; beyond it the store is walked anew instead

// ---- completions -----------------------------------------------------------------------------------

static int on_late(void *arg)
{
	struct dp *dp = arg;
	GArray *now = dp->late;

	dp->late_source = 0;
	dp->late = g_array_new(FALSE, FALSE, sizeof(struct dp_late));
	for (unsigned int i = 0; i < now->len; i++) {
		struct dp_late *l = &g_array_index(now, struct dp_late, i);

		l->waiter.done(l->status, l->waiter.arg);
	}
	g_array_free(now, TRUE);
	return G_SOURCE_REMOVE;
}

void dp_later(struct dp *dp, dp_done done, void *arg, int status)
{
	struct dp_late l = {.waiter = {.done = done, .arg = arg}, .status = status};

	if (!done)
		return;
	g_array_append_val(dp->late, l);
	if (!dp->late_source)
		dp->late_source = g_idle_add_full(G_PRIORITY_DEFAULT, on_late, dp, NULL);
}

GArray *dp_waiters_add(GArray *waiters, dp_done done, void *arg)
{
	struct dp_waiter w = {.done = done, .arg = arg};

	if (!done)
		return waiters;
	if (!waiters)
		waiters = g_array_new(FALSE, FALSE, sizeof(w));
	g_array_append_val(waiters, w);
	return waiters;
}

void dp_waiters_later(struct dp *dp, GArray *waiters, int status)
{
	if (!waiters)
		return;
	for (unsigned int i = 0; i < waiters->len; i++) {
		struct dp_waiter *w = &g_array_index(waiters, struct dp_waiter, i);

		dp_later(dp, w->done, w->arg, status);
	}
	g_array_free(waiters, TRUE);
}

// ---- messages and requests -------------------------------------------------------------------------

void dp_request_free(void *p)
{
	struct dp_request *r = p;

	dp_object_put(r->object);
	if (r->waiters)
		g_array_free(r->waiters, TRUE);
	g_free(r);
}

struct dp_out *dp_message(struct dp *dp, const struct dp_parts *p)
{
	if (!++dp->seq)
		dp->seq = 1;
	return dp_out_new(p, dp->seq);
}

struct dp_request *dp_request(struct dp *dp, struct dp_out *o)
{
	struct dp_request *r = g_new0(struct dp_request, 1);
	const struct st_msg *m = dp_out_header(o);

	r->op = m->op;
	r->kind = m->kind;
	o->request = m->seq;
	g_hash_table_insert(dp->requests, GUINT_TO_POINTER(m->seq), r);
	return r;
}

struct dp_out *dp_request_del(struct dp *dp, uint16_t kind, const void *key, uint16_t key_len)
{
	struct dp_out *o = dp_message(dp,
		&(struct dp_parts){.op = ST_OP_DEL, .kind = kind, .body = key, .body_len = key_len});

	dp_request(dp, o);
	return o;
}

static uint32_t time_left(const struct dp_object *obj)
{
	int64_t left_us = obj->deadline_us - g_get_monotonic_time();

	if (!obj->deadline_us)
		return 0;
	return left_us < 1000 ? 1 : (uint32_t)MIN(left_us / 1000, (int64_t)UINT32_MAX);
}

struct dp_out *dp_request_set(struct dp *dp, struct dp_object *obj, GArray *waiters)
{
	struct dp_out *o = dp_message(dp, &(struct dp_parts){.op = ST_OP_SET,
						  .kind = obj->kind,
						  .body = obj->data,
						  .body_len = obj->body_len,
						  .blob = obj->data + obj->body_len,
						  .blob_len = obj->blob_len,
						  .expiry_ms = time_left(obj)});
	struct dp_request *r = dp_request(dp, o);

	r->object = dp_object_get(obj);
	r->waiters = waiters;
	return o;
}

// ---- the sync --------------------------------------------------------------------------------------

void dp_start_sync(struct dp *dp)
{
	struct dp_out *o = dp_message(dp, &(struct dp_parts){.op = ST_OP_SYNC_BEGIN});

	dp_request(dp, o);
	g_queue_push_tail(&dp->direct, o);
	dp->state = DP_SYNCING;
	dp->walking = true;
	dp->walk_pos = 0;
	dp->walk_next = dp->store->lists[0].first;
	dp->sync++;
}

static struct dp_out *walk_object(struct dp *dp, struct dp_object *obj)
{
	GArray *waiters = obj->waiters;

	obj->sync = dp->sync;
	obj->waiters = NULL;
	return dp_request_set(dp, obj, waiters);
}

// The next message of the walk; the last one is SYNC_END.
static struct dp_out *walk(struct dp *dp)
{
	for (;;) {
		struct dp_object *obj = dp->walk_next;

		if (!obj) {
			if (++dp->walk_pos == DP_STORE_KINDS)
				break;
			dp->walk_next = dp->store->lists[dp->walk_pos].first;
			continue;
		}
		dp->walk_next = obj->next;
		if (obj->sync != dp->sync)
			return walk_object(dp, obj);
	}
	dp->walking = false;
	struct dp_out *end = dp_message(dp, &(struct dp_parts){.op = ST_OP_SYNC_END});

	dp_request(dp, end);
	return end;
}

// The walk will answer those who wait for a SET that is not sent.
static void hand_back_waiters(struct dp *dp, struct dp_request *r)
{
	if (!r->object->wanted) {
		dp_waiters_later(dp, r->waiters, -ECANCELED);
		r->waiters = NULL;
		return;
	}
	for (unsigned int i = 0; i < r->waiters->len; i++) {
		struct dp_waiter *w = &g_array_index(r->waiters, struct dp_waiter, i);

		r->object->waiters = dp_waiters_add(r->object->waiters, w->done, w->arg);
	}
}

// Changes that pile up faster than they are taken are forgotten one by one and sent as what the store
// holds in the end.
static void collapse_queue(struct dp *dp)
{
	GList *next;

	g_info("dp: too many changes wait, syncing anew queued=%u", dp->queue.length);
	for (GList *i = dp->queue.head; i; i = next) {
		struct dp_out *o = i->data;
		const struct st_msg *m = dp_out_header(o);
		struct dp_request *r =
			g_hash_table_lookup(dp->requests, GUINT_TO_POINTER(o->request));

		next = i->next;
		if ((m->op != ST_OP_SET && m->op != ST_OP_DEL) ||
			dp_store_kind(m->kind, NULL, NULL) < 0)
			continue;
		if (r && r->waiters)
			hand_back_waiters(dp, r);
		g_hash_table_remove(dp->requests, GUINT_TO_POINTER(o->request));
		g_queue_delete_link(&dp->queue, i);
		dp_out_free(o);
	}
	dp_start_sync(dp);
}

void dp_enqueue(struct dp *dp, struct dp_out *o)
{
	g_queue_push_tail(&dp->queue, o);
	if (dp->queue.length > QUEUE_MAX)
		collapse_queue(dp);
	dp_pump(dp);
}

// ---- sending ---------------------------------------------------------------------------------------

static struct dp_object *find_object(struct dp *dp, uint16_t kind, const void *key)
{
	return dp_store_find(dp->store, (unsigned int)dp_store_kind(kind, NULL, NULL), key);
}

// What a KEY needs and the walk has not come to: the WGIF, the PEER, and the ENDPOINT that its first
// packet goes to.
static struct dp_out *before_key(struct dp *dp, const struct dp_out *key_out)
{
	const struct st_msg *m = dp_out_header(key_out);
	struct st_endpoint_key slot = {0};
	struct dp_object *peer, *needed[3];
	struct st_peer body;
	struct st_key key;

	if (m->op != ST_OP_SET || m->kind != ST_KEY)
		return NULL;
	memcpy(&key, key_out->data + sizeof(*m), sizeof(key));
	peer = find_object(dp, ST_PEER, &key.peer_id);
	if (!peer)
		return NULL;
	memcpy(&body, peer->data, sizeof(body));
	slot.peer_id = key.peer_id;
	needed[0] = find_object(dp, ST_WGIF, &body.if_id);
	needed[1] = peer;
	needed[2] = find_object(dp, ST_ENDPOINT, &slot);
	for (size_t i = 0; i < G_N_ELEMENTS(needed); i++) {
		if (needed[i] && needed[i]->sync != dp->sync)
			return walk_object(dp, needed[i]);
	}
	return NULL;
}

static struct dp_out *next_queued(struct dp *dp)
{
	struct dp_out *first = g_queue_peek_head(&dp->queue);
	struct dp_out *before = first && dp->walking ? before_key(dp, first) : NULL;

	return before ? before : g_queue_pop_head(&dp->queue);
}

static struct dp_out *next_out(struct dp *dp)
{
	struct dp_out *o = g_queue_pop_head(&dp->stalled);

	if (o)
		return o;
	if (!g_queue_is_empty(&dp->direct))
		return g_queue_pop_head(&dp->direct);
	if (dp->state == DP_RECOVERING)
		return NULL;
	o = next_queued(dp);
	return o || !dp->walking ? o : walk(dp);
}

// Those that one call can take: a descriptor goes alone.
static unsigned int take_batch(struct dp *dp, struct dp_out **batch)
{
	unsigned int n = 0, room = MIN(DP_LINK_BATCH, WINDOW - dp->in_flight);

	while (n < room) {
		struct dp_out *o = next_out(dp);

		if (!o)
			break;
		if (n > 0 && o->fd >= 0) {
			g_queue_push_head(&dp->stalled, o);
			break;
		}
		batch[n++] = o;
		if (o->fd >= 0)
			break;
	}
	return n;
}

static void note_sent(struct dp *dp, struct dp_out *o)
{
	struct dp_request *r =
		o->request ? g_hash_table_lookup(dp->requests, GUINT_TO_POINTER(o->request)) : NULL;

	if (r) {
		r->sent = true;
		dp->in_flight++;
	}
	dp_out_free(o);
}

static bool send_batch(struct dp *dp, struct dp_out **batch, unsigned int n)
{
	struct iovec iov[DP_LINK_BATCH];
	unsigned int sent;
	int r;

	for (unsigned int i = 0; i < n; i++)
		iov[i] = (struct iovec){.iov_base = batch[i]->data, .iov_len = batch[i]->len};
	r = dp_link_send(dp->link, iov, n, batch[0]->fd);
	sent = r > 0 ? (unsigned int)r : 0;
	for (unsigned int i = 0; i < sent; i++)
		note_sent(dp, batch[i]);
	// -EAGAIN: writable() comes back here. Else: down() is about to clear it all.
	for (unsigned int i = n; i-- > sent;)
		g_queue_push_head(&dp->stalled, batch[i]);
	return sent == n;
}

void dp_pump_now(void *arg)
{
	struct dp *dp = arg;
	struct dp_out *batch[DP_LINK_BATCH];

	if (!dp->pump_due)
		return;
	dp->pump_due = false;
	while (dp->state != DP_AWAY && dp->in_flight < WINDOW) {
		unsigned int n = take_batch(dp, batch);

		if (!n || !send_batch(dp, batch, n))
			return;
	}
}

void dp_pump(struct dp *dp)
{
	dp->pump_due = true;
}
