// SPDX-License-Identifier: BSD-3-Clause
//
// straitd's end of the contract: requests and their answers, recovery on the first connect, the sync, and
// the order of everything sent. The wanted state is in dp_store.c, the connection in dp_link.c,
// one encoded message in dp_out.c.
// Main loop thread only; a done callback is never called from inside the call that was given it.
//
//   away --connect--> recovering (first time: dumps) --> syncing (walk of the store) --> ready
//        <-------------------------- connection lost ---------------------------------/
//
// What is sent comes from three places, in this order: `direct` (dumps, sockets, datagrams), `queue`
// (keys, and changes of what the walk has passed), which keeps the order of the calls, and the walk of the
// store. So a handshake does not wait for a resync; the peer that a key needs is walked out of turn.
#include "dp.h"

#include "dp_items.h"
#include "dp_link.h"
#include "dp_out.h"
#include "dp_store.h"

#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define WINDOW      1024  // requests without an answer; what comes then waits here
#define QUEUE_MAX   65536 // changes that wait; beyond it the store is walked anew instead
#define PACKETS_MAX 1024  // datagrams that wait in `direct`; the next one is dropped
#define NAME_HEX    64

enum state { AWAY, RECOVERING, SYNCING, READY };

struct request {
	uint16_t op, kind;
	bool sent, recovery;
	struct dp_object *object; // SET of a wanted object
	GArray *waiters;          // of struct dp_waiter; NULL = none
	dp_dump_item item;        // DUMP
	void *item_arg;
};

struct late {
	struct dp_waiter waiter;
	int status;
};

struct dp {
	const struct dp_ops *ops;
	void *arg;
	struct dp_link *link;
	struct dp_store *store;
	enum state state;
	uint32_t seq;
	GHashTable *requests; // seq -> struct request
	unsigned int in_flight;
	GQueue direct, queue;   // of struct out
	struct dp_out *stalled; // taken from its place, not sent yet
	uint64_t instance;
	bool recovered;
	// sync
	uint32_t sync;
	bool walking;
	unsigned int walk_pos;
	struct dp_object *walk_next;
	// recovery
	unsigned int dumps_left;
	GPtrArray *items; // dp_items
	uint64_t events_missed;
	// completions that must not be called from inside a call
	GArray *late;
	unsigned int late_source;
	unsigned int packets_dropped;
};

// PORT and WGIF first, for the ids of interfaces; what refers to a peer comes behind PEER.
static const uint16_t recovery_kinds[] = {ST_PORT, ST_WGIF, ST_SOCKET, ST_PEER, ST_ENDPOINT, ST_KEY,
	ST_STAT_KEYPAIR, ST_RELAY, ST_PERMISSION, ST_CHANNEL};

static void pump(struct dp *dp);

// ---- completions -----------------------------------------------------------------------------------

static int on_late(void *arg)
{
	struct dp *dp = arg;
	GArray *now = dp->late;

	dp->late_source = 0;
	dp->late = g_array_new(FALSE, FALSE, sizeof(struct late));
	for (unsigned int i = 0; i < now->len; i++) {
		struct late *l = &g_array_index(now, struct late, i);

		l->waiter.done(l->status, l->waiter.arg);
	}
	g_array_free(now, TRUE);
	return G_SOURCE_REMOVE;
}

static void later(struct dp *dp, dp_done done, void *arg, int status)
{
	struct late l = {.waiter = {.done = done, .arg = arg}, .status = status};

	if (!done)
		return;
	g_array_append_val(dp->late, l);
	if (!dp->late_source)
		dp->late_source = g_idle_add_full(G_PRIORITY_DEFAULT, on_late, dp, NULL);
}

static GArray *waiters_add(GArray *waiters, dp_done done, void *arg)
{
	struct dp_waiter w = {.done = done, .arg = arg};

	if (!done)
		return waiters;
	if (!waiters)
		waiters = g_array_new(FALSE, FALSE, sizeof(w));
	g_array_append_val(waiters, w);
	return waiters;
}

static void waiters_later(struct dp *dp, GArray *waiters, int status)
{
	if (!waiters)
		return;
	for (unsigned int i = 0; i < waiters->len; i++) {
		struct dp_waiter *w = &g_array_index(waiters, struct dp_waiter, i);

		later(dp, w->done, w->arg, status);
	}
	g_array_free(waiters, TRUE);
}

// ---- messages and requests -------------------------------------------------------------------------

static void request_free(void *p)
{
	struct request *r = p;

	dp_object_put(r->object);
	if (r->waiters)
		g_array_free(r->waiters, TRUE);
	g_free(r);
}

static struct dp_out *out_new(struct dp *dp, const struct dp_parts *p)
{
	if (!++dp->seq)
		dp->seq = 1;
	return dp_out_new(p, dp->seq);
}

static struct request *request_new(struct dp *dp, struct dp_out *o)
{
	struct request *r = g_new0(struct request, 1);
	const struct st_msg *m = dp_out_header(o);

	r->op = m->op;
	r->kind = m->kind;
	o->request = m->seq;
	g_hash_table_insert(dp->requests, GUINT_TO_POINTER(m->seq), r);
	return r;
}

static struct dp_out *del_new(struct dp *dp, uint16_t kind, const void *key, uint16_t key_len)
{
	struct dp_out *o = out_new(dp,
		&(struct dp_parts){.op = ST_OP_DEL, .kind = kind, .body = key, .body_len = key_len});

	request_new(dp, o);
	return o;
}

static uint32_t time_left(const struct dp_object *obj)
{
	int64_t left_us = obj->deadline_us - g_get_monotonic_time();

	if (!obj->deadline_us)
		return 0;
	return left_us < 1000 ? 1 : (uint32_t)MIN(left_us / 1000, (int64_t)UINT32_MAX);
}

static struct dp_out *object_out(struct dp *dp, struct dp_object *obj, GArray *waiters)
{
	struct dp_out *o = out_new(dp, &(struct dp_parts){.op = ST_OP_SET,
					       .kind = obj->kind,
					       .body = obj->data,
					       .body_len = obj->body_len,
					       .blob = obj->data + obj->body_len,
					       .blob_len = obj->blob_len,
					       .expiry_ms = time_left(obj)});
	struct request *r = request_new(dp, o);

	r->object = dp_object_get(obj);
	r->waiters = waiters;
	return o;
}

// ---- the sync --------------------------------------------------------------------------------------

static void start_sync(struct dp *dp)
{
	struct dp_out *o = out_new(dp, &(struct dp_parts){.op = ST_OP_SYNC_BEGIN});

	request_new(dp, o);
	g_queue_push_tail(&dp->direct, o);
	dp->state = SYNCING;
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
	return object_out(dp, obj, waiters);
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
	struct dp_out *end = out_new(dp, &(struct dp_parts){.op = ST_OP_SYNC_END});

	request_new(dp, end);
	return end;
}

// The walk will answer those who wait for a SET that is not sent.
static void hand_back_waiters(struct dp *dp, struct request *r)
{
	if (!r->object->wanted) {
		waiters_later(dp, r->waiters, -ECANCELED);
		r->waiters = NULL;
		return;
	}
	for (unsigned int i = 0; i < r->waiters->len; i++) {
		struct dp_waiter *w = &g_array_index(r->waiters, struct dp_waiter, i);

		r->object->waiters = waiters_add(r->object->waiters, w->done, w->arg);
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
		struct request *r = g_hash_table_lookup(dp->requests, GUINT_TO_POINTER(o->request));

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
	start_sync(dp);
}

static void enqueue(struct dp *dp, struct dp_out *o)
{
	g_queue_push_tail(&dp->queue, o);
	if (dp->queue.length > QUEUE_MAX)
		collapse_queue(dp);
	pump(dp);
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
	struct dp_out *o = dp->stalled;

	if (o) {
		dp->stalled = NULL;
		return o;
	}
	if (!g_queue_is_empty(&dp->direct))
		return g_queue_pop_head(&dp->direct);
	if (dp->state == RECOVERING)
		return NULL;
	o = next_queued(dp);
	return o || !dp->walking ? o : walk(dp);
}

static void pump(struct dp *dp)
{
	while (dp->state != AWAY && dp->in_flight < WINDOW) {
		struct dp_out *o = next_out(dp);
		struct request *r;

		if (!o)
			return;
		if (dp_link_send(dp->link, o->data, o->len, o->fd)) {
			// -EAGAIN: writable() comes back here. Else: down() is about to clear it all.
			dp->stalled = o;
			return;
		}
		r = o->request ? g_hash_table_lookup(dp->requests, GUINT_TO_POINTER(o->request))
			       : NULL;
		if (r) {
			r->sent = true;
			dp->in_flight++;
		}
		dp_out_free(o);
	}
}

static void on_writable(void *arg)
{
	pump(arg);
}

// ---- recovery --------------------------------------------------------------------------------------

static void start_recovery(struct dp *dp)
{
	dp->state = RECOVERING;
	dp->dumps_left = G_N_ELEMENTS(recovery_kinds);
	dp->events_missed = 0;
	for (unsigned int i = 0; i < G_N_ELEMENTS(recovery_kinds); i++) {
		struct dp_out *o =
			out_new(dp, &(struct dp_parts){.op = ST_OP_DUMP, .kind = recovery_kinds[i]});

		request_new(dp, o)->recovery = true;
		g_queue_push_tail(&dp->direct, o);
	}
}

// Nothing is handed out before all dumps are complete, so a connection lost halfway leaves no half state.
static void finish_recovery(struct dp *dp)
{
	GPtrArray *items = dp->items;

	dp->items = dp_items_new();
	dp->recovered = true;
	dp_items_give(items, dp->ops->item, dp->arg);
	dp->ops->recovered(dp->arg);
	if (dp->events_missed) {
		struct st_ev_overrun ev = {.lost = dp->events_missed};

		dp->ops->event(ST_EV_OVERRUN, &ev, sizeof(ev), NULL, 0, dp->arg);
	}
	start_sync(dp);
	pump(dp);
}

// ---- what comes in ---------------------------------------------------------------------------------

static void log_refusal(const struct request *r, int status)
{
	char key[2 * NAME_HEX + 1] = "";
	const struct dp_object *o = r->object;

	if (r->op == ST_OP_DEL && status == -ENOENT)
		return;
	if (o)
		sodium_bin2hex(key, sizeof(key), o->data, MIN(o->key_len, NAME_HEX));
	g_warning("dp: strait-dp refused op=%u kind=%s key=%s error=\"%s\"", r->op,
		dp_store_kind_name(r->kind), key, strerror(-status));
}

static void take_reply(struct dp *dp, const struct st_msg *m)
{
	void *key = GUINT_TO_POINTER(m->seq);
	struct request *r = g_hash_table_lookup(dp->requests, key);
	GArray *waiters;

	if (!r)
		return; // to a keepalive or a datagram
	if (!r->sent) {
		dp_link_break(dp->link, "answer to what was never sent");
		return;
	}
	g_hash_table_steal(dp->requests, key);
	dp->in_flight--;
	if (r->object)
		r->object->refused = m->status != 0;
	if (m->status)
		log_refusal(r, m->status);
	waiters = r->waiters;
	r->waiters = NULL;
	for (unsigned int i = 0; waiters && i < waiters->len; i++) {
		struct dp_waiter *w = &g_array_index(waiters, struct dp_waiter, i);

		w->done(m->status, w->arg);
	}
	if (waiters)
		g_array_free(waiters, TRUE);
	if (r->recovery && !--dp->dumps_left) {
		finish_recovery(dp);
	} else if (r->op == ST_OP_SYNC_END && dp->state == SYNCING && !dp->walking) {
		dp->state = READY;
		dp->ops->synced(dp->arg);
	}
	request_free(r);
	pump(dp);
}

static void take_item(
	struct dp *dp, const struct st_msg *m, const void *body, const void *blob, int fd)
{
	struct request *r = g_hash_table_lookup(dp->requests, GUINT_TO_POINTER(m->seq));

	if (!r || r->op != ST_OP_DUMP || r->kind != m->kind || !r->sent) {
		if (fd >= 0)
			close(fd);
		dp_link_break(dp->link, "item that belongs to no dump");
		return;
	}
	if (r->recovery) {
		dp_items_add(dp->items, m, body, blob, fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	r->item(body, m->body_len, r->item_arg);
}

static void on_message(const struct st_msg *m, const void *body, const void *blob, int fd, void *arg)
{
	struct dp *dp = arg;

	if (m->op == ST_OP_ITEM) {
		take_item(dp, m, body, blob, fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	if (m->op == ST_OP_REPLY)
		take_reply(dp, m);
	else if (m->op != ST_OP_EVENT)
		dp_link_break(dp->link, "message that is no answer and no event");
	else if (dp->state == RECOVERING)
		dp->events_missed++;
	else
		dp->ops->event(m->kind, body, m->body_len, blob, m->blob_len, dp->arg);
}

static void on_up(const struct st_hello *hello, void *arg)
{
	struct dp *dp = arg;
	bool new_instance = dp->instance && dp->instance != hello->instance;

	g_message(
		"dp: connected to strait-dp version=%s pid=%u lcores=%u aead=%s uptime_ms=%" PRIu64
		" restarted=%s",
		hello->version_text, hello->pid, hello->lcores, hello->aead, hello->uptime_ms,
		new_instance ? "yes" : "no");
	dp->instance = hello->instance;
	if (dp->recovered)
		start_sync(dp);
	else
		start_recovery(dp);
	dp->ops->connected(hello, new_instance, dp->arg);
	pump(dp);
}

static void fail_all(struct dp *dp)
{
	GHashTableIter it;
	void *p;

	g_hash_table_iter_init(&it, dp->requests);
	while (g_hash_table_iter_next(&it, NULL, &p)) {
		struct request *r = p;

		waiters_later(dp, r->waiters, -ENOTCONN);
		r->waiters = NULL;
	}
	g_hash_table_remove_all(dp->requests);
	for (unsigned int i = 0; i < DP_STORE_KINDS; i++) {
		for (struct dp_object *o = dp->store->lists[i].first; o; o = o->next) {
			waiters_later(dp, o->waiters, -ENOTCONN);
			o->waiters = NULL;
		}
	}
}

static void clear_queues(struct dp *dp)
{
	g_queue_clear_full(&dp->direct, dp_out_free);
	g_queue_clear_full(&dp->queue, dp_out_free);
	dp_out_free(dp->stalled);
	dp->stalled = NULL;
	dp->in_flight = 0;
	dp->walking = false;
	dp->walk_next = NULL;
	g_ptr_array_set_size(dp->items, 0);
}

static void on_down(void *arg)
{
	struct dp *dp = arg;

	dp->state = AWAY;
	clear_queues(dp);
	fail_all(dp);
	dp->ops->disconnected(dp->arg);
}

// ---- life ------------------------------------------------------------------------------------------

static const struct dp_link_ops link_ops = {
	.up = on_up, .message = on_message, .writable = on_writable, .down = on_down};

struct dp *dp_new(const char *socket_path, const struct dp_ops *ops, void *arg)
{
	struct dp *dp;

	if (sodium_init() < 0) {
		errno = ENOSYS;
		return NULL;
	}
	dp = g_new0(struct dp, 1);
	dp->link = dp_link_new(socket_path, &link_ops, dp);
	if (!dp->link) {
		g_free(dp);
		return NULL;
	}
	dp->ops = ops;
	dp->arg = arg;
	dp->store = dp_store_new();
	dp->requests = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, request_free);
	dp->items = dp_items_new();
	dp->late = g_array_new(FALSE, FALSE, sizeof(struct late));
	g_queue_init(&dp->direct);
	g_queue_init(&dp->queue);
	return dp;
}

void dp_free(struct dp *dp)
{
	if (!dp)
		return;
	dp_link_free(dp->link);
	clear_queues(dp);
	if (dp->late_source)
		g_source_remove(dp->late_source);
	g_array_free(dp->late, TRUE);
	g_hash_table_destroy(dp->requests);
	g_ptr_array_free(dp->items, TRUE);
	dp_store_free(dp->store);
	g_free(dp);
}

void dp_start(struct dp *dp)
{
	dp_link_start(dp->link);
}

bool dp_connected(const struct dp *dp)
{
	return dp->state != AWAY;
}

bool dp_absent(const struct dp *dp)
{
	return dp_link_is_absent(dp->link);
}

// ---- wanted objects --------------------------------------------------------------------------------

static void set(struct dp *dp, uint16_t kind, const void *body, uint16_t body_len, const void *blob,
	uint16_t blob_len, uint32_t expiry_ms, dp_done done, void *arg)
{
	struct dp_object *o;
	uint16_t want_len;
	int pos = dp_store_kind(kind, NULL, &want_len);
	bool changed, fresh;

	if (pos < 0 || body_len != want_len || blob_len > ST_BLOB_MAX) {
		g_critical("dp: SET with wrong lengths kind=%u body_len=%u blob_len=%u", kind,
			body_len, blob_len);
		later(dp, done, arg, -EINVAL);
		return;
	}
	fresh = !dp_store_find(dp->store, pos, body);
	o = dp_store_put(dp->store, pos, body, blob, blob_len, &changed);
	o->deadline_us = expiry_ms ? g_get_monotonic_time() + (int64_t)expiry_ms * 1000 : 0;
	// Behind the walk already: its DEL may wait in the queue, so a new one has to queue as well.
	if (fresh && dp->walking && o->pos <= dp->walk_pos)
		o->sync = dp->sync;
	if (dp->state == AWAY) {
		later(dp, done, arg, -ENOTCONN);
	} else if (dp->state == RECOVERING || (dp->walking && o->sync != dp->sync)) {
		o->waiters = waiters_add(o->waiters, done, arg);
	} else if (changed || expiry_ms || o->refused || (done && o->refs > 1)) {
		o->sync = dp->sync;
		enqueue(dp, object_out(dp, o, waiters_add(NULL, done, arg)));
	} else {
		later(dp, done, arg, 0);
	}
}

void dp_set(struct dp *dp, uint16_t kind, const void *body, uint16_t body_len, const void *blob,
	uint16_t blob_len, dp_done done, void *arg)
{
	set(dp, kind, body, body_len, blob, blob_len, 0, done, arg);
}

void dp_set_expiring(struct dp *dp, uint16_t kind, const void *body, uint16_t body_len,
	const void *blob, uint16_t blob_len, uint32_t expiry_ms, dp_done done, void *arg)
{
	set(dp, kind, body, body_len, blob, blob_len, MAX(expiry_ms, 1), done, arg);
}

static void remove_object(struct dp *dp, struct dp_object *o, bool tell)
{
	// The walk has not come to it: the sweep takes it away at SYNC_END.
	bool unsent = dp->state == RECOVERING || (dp->walking && o->sync != dp->sync);
	struct dp_out *del = NULL;

	if (tell && dp->state != AWAY && !unsent)
		del = del_new(dp, o->kind, o->data, o->key_len);
	waiters_later(dp, o->waiters, -ECANCELED);
	o->waiters = NULL;
	if (dp->walk_next == o)
		dp->walk_next = o->next;
	dp_store_remove(dp->store, o);
	if (del)
		enqueue(dp, del);
}

static void take_off(struct dp *dp, uint16_t kind, const void *key, uint16_t key_len, bool tell)
{
	struct dp_object *o;
	uint16_t want_len;
	int pos = dp_store_kind(kind, &want_len, NULL);

	if (pos < 0 || key_len != want_len) {
		g_critical("dp: DEL with wrong lengths kind=%u key_len=%u", kind, key_len);
		return;
	}
	o = dp_store_find(dp->store, pos, key);
	if (o)
		remove_object(dp, o, tell);
}

void dp_del(struct dp *dp, uint16_t kind, const void *key, uint16_t key_len)
{
	take_off(dp, kind, key, key_len, true);
}

void dp_forget(struct dp *dp, uint16_t kind, const void *key, uint16_t key_len)
{
	take_off(dp, kind, key, key_len, false);
}

void dp_replace_begin(struct dp *dp, uint16_t kind)
{
	int pos = dp_store_kind(kind, NULL, NULL);

	if (pos >= 0)
		dp->store->lists[pos].generation++;
}

void dp_replace_end(struct dp *dp, uint16_t kind)
{
	int pos = dp_store_kind(kind, NULL, NULL);
	struct dp_object *next;

	if (pos < 0)
		return;
	for (struct dp_object *o = dp->store->lists[pos].first; o; o = next) {
		next = o->next;
		if (o->generation != dp->store->lists[pos].generation)
			remove_object(dp, o, true);
	}
}

// ---- what is not remembered ------------------------------------------------------------------------

void dp_key_set(struct dp *dp, const struct st_key *key, uint32_t expiry_ms, dp_done done, void *arg)
{
	struct dp_out *o;

	if (dp->state == AWAY) {
		later(dp, done, arg, -ENOTCONN);
		return;
	}
	o = out_new(dp, &(struct dp_parts){.op = ST_OP_SET,
				.kind = ST_KEY,
				.body = key,
				.body_len = sizeof(*key),
				.expiry_ms = expiry_ms,
				.secret = true});
	request_new(dp, o)->waiters = waiters_add(NULL, done, arg);
	enqueue(dp, o);
}

void dp_key_del(struct dp *dp, uint32_t index)
{
	struct st_key_key key = {.index = index};

	if (dp->state != AWAY)
		enqueue(dp, del_new(dp, ST_KEY, &key, sizeof(key)));
}

static void order_peer(struct dp *dp, enum st_op op, uint32_t peer_id)
{
	struct st_peer_key key = {.peer_id = peer_id};

	if (dp->state == AWAY)
		return;
	enqueue(dp,
		out_new(dp,
			&(struct dp_parts){
				.op = op, .kind = ST_PEER, .body = &key, .body_len = sizeof(key)}));
}

void dp_keepalive(struct dp *dp, uint32_t peer_id)
{
	order_peer(dp, ST_OP_KEEPALIVE, peer_id);
}

void dp_staged_drop(struct dp *dp, uint32_t peer_id)
{
	order_peer(dp, ST_OP_STAGED_DROP, peer_id);
}

static void direct(struct dp *dp, struct dp_out *o)
{
	g_queue_push_tail(&dp->direct, o);
	pump(dp);
}

void dp_socket_park(struct dp *dp, uint32_t socket_id, const char *purpose, int fd)
{
	struct st_socket s;
	struct dp_out *o;

	if (dp->state == AWAY)
		return;
	memset(&s, 0, sizeof(s));
	s.key.socket_id = socket_id;
	g_strlcpy(s.purpose, purpose, sizeof(s.purpose));
	o = out_new(
		dp, &(struct dp_parts){
			    .op = ST_OP_SET, .kind = ST_SOCKET, .body = &s, .body_len = sizeof(s)});
	o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (o->fd < 0) {
		g_warning("dp: cannot park a socket purpose=%s error=\"%s\"", purpose,
			strerror(errno));
		dp_out_free(o);
		return;
	}
	request_new(dp, o);
	direct(dp, o);
}

void dp_socket_unpark(struct dp *dp, uint32_t socket_id)
{
	struct st_socket_key key = {.socket_id = socket_id};

	if (dp->state != AWAY)
		direct(dp, del_new(dp, ST_SOCKET, &key, sizeof(key)));
}

void dp_packet_out(struct dp *dp, const struct st_packet_io *io, const void *data, uint16_t len)
{
	if (dp->state == AWAY || len > ST_PACKET_MAX || dp->direct.length >= PACKETS_MAX) {
		if (!(dp->packets_dropped++ & 1023))
			g_info("dp: datagram for the data plane dropped len=%u dropped=%u", len,
				dp->packets_dropped);
		return;
	}
	direct(dp, out_new(dp, &(struct dp_parts){.op = ST_OP_PACKET_OUT,
				       .body = io,
				       .body_len = sizeof(*io),
				       .blob = data,
				       .blob_len = len}));
}

void dp_dump(struct dp *dp, uint16_t kind, dp_dump_item item, dp_done done, void *arg)
{
	struct request *r;
	struct dp_out *o;

	if (dp->state == AWAY) {
		later(dp, done, arg, -ENOTCONN);
		return;
	}
	o = out_new(dp, &(struct dp_parts){.op = ST_OP_DUMP, .kind = kind});
	r = request_new(dp, o);
	r->item = item;
	r->item_arg = arg;
	r->waiters = waiters_add(NULL, done, arg);
	direct(dp, o);
}
