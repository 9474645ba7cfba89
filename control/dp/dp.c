// SPDX-License-Identifier: BSD-3-Clause
//
// straitd's end of the contract: what is wanted, answers, events, and recovery on the first connect. The sync and
// the order of everything sent are in dp_send.c, the wanted state in dp_store.c, the connection in dp_link.c,
// one encoded message in dp_out.c.
// Main loop thread only; a done callback is never called from inside the call that was given it.
//
//   away --connect--> recovering (first time: dumps) --> syncing (walk of the store) --> ready
//        <-------------------------- connection lost ---------------------------------/
#include "../before_poll.h"
#include "dp_items.h"
#include "dp_send.h"

#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define PACKETS_MAX 1024 // datagrams that wait in `direct`; the next one is dropped
#define NAME_HEX    64

// PORT and WGIF first, for the ids of interfaces; what refers to a peer comes behind PEER.
static const uint16_t recovery_kinds[] = {ST_PORT, ST_WGIF, ST_SOCKET, ST_PEER, ST_ENDPOINT, ST_KEY,
	ST_STAT_KEYPAIR, ST_RELAY, ST_PERMISSION, ST_CHANNEL};

// ---- recovery --------------------------------------------------------------------------------------

static void start_recovery(struct dp *dp)
{
	dp->state = DP_RECOVERING;
	dp->dumps_left = G_N_ELEMENTS(recovery_kinds);
	dp->events_missed = 0;
	for (unsigned int i = 0; i < G_N_ELEMENTS(recovery_kinds); i++) {
		struct dp_out *o = dp_message(
			dp, &(struct dp_parts){.op = ST_OP_DUMP, .kind = recovery_kinds[i]});

		dp_request(dp, o)->recovery = true;
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
	dp_start_sync(dp);
	dp_pump(dp);
}

// ---- what comes in ---------------------------------------------------------------------------------

static void log_refusal(const struct dp_request *r, int status)
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
	struct dp_request *r = g_hash_table_lookup(dp->requests, key);
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
	} else if (r->op == ST_OP_SYNC_END && dp->state == DP_SYNCING && !dp->walking) {
		dp->state = DP_READY;
		dp->ops->synced(dp->arg);
	}
	dp_request_free(r);
	dp_pump(dp);
}

static void take_item(
	struct dp *dp, const struct st_msg *m, const void *body, const void *blob, int fd)
{
	struct dp_request *r = g_hash_table_lookup(dp->requests, GUINT_TO_POINTER(m->seq));

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
	else if (dp->state == DP_RECOVERING)
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
		dp_start_sync(dp);
	else
		start_recovery(dp);
	dp->ops->connected(hello, new_instance, dp->arg);
	dp_pump(dp);
}

static void fail_all(struct dp *dp)
{
	GHashTableIter it;
	void *p;

	g_hash_table_iter_init(&it, dp->requests);
	while (g_hash_table_iter_next(&it, NULL, &p)) {
		struct dp_request *r = p;

		dp_waiters_later(dp, r->waiters, -ENOTCONN);
		r->waiters = NULL;
	}
	g_hash_table_remove_all(dp->requests);
	for (unsigned int i = 0; i < DP_STORE_KINDS; i++) {
		for (struct dp_object *o = dp->store->lists[i].first; o; o = o->next) {
			dp_waiters_later(dp, o->waiters, -ENOTCONN);
			o->waiters = NULL;
		}
	}
}

static void clear_queues(struct dp *dp)
{
	g_queue_clear_full(&dp->direct, dp_out_free);
	g_queue_clear_full(&dp->queue, dp_out_free);
	g_queue_clear_full(&dp->stalled, dp_out_free);
	dp->in_flight = 0;
	dp->walking = false;
	dp->walk_next = NULL;
	g_ptr_array_set_size(dp->items, 0);
}

static void on_down(void *arg)
{
	struct dp *dp = arg;

	dp->state = DP_AWAY;
	clear_queues(dp);
	fail_all(dp);
	dp->ops->disconnected(dp->arg);
}

static void on_writable(void *arg)
{
	dp_pump(arg);
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
	dp->requests = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, dp_request_free);
	dp->items = dp_items_new();
	dp->late = g_array_new(FALSE, FALSE, sizeof(struct dp_late));
	g_queue_init(&dp->direct);
	g_queue_init(&dp->queue);
	g_queue_init(&dp->stalled);
	dp->hook = before_poll_add(dp_pump_now, dp);
	return dp;
}

void dp_free(struct dp *dp)
{
	if (!dp)
		return;
	dp_pump_now(dp); // orders of the end
	dp_link_free(dp->link);
	clear_queues(dp);
	g_source_remove(dp->hook);
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
	return dp->state != DP_AWAY;
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
		dp_later(dp, done, arg, -EINVAL);
		return;
	}
	fresh = !dp_store_find(dp->store, pos, body);
	o = dp_store_put(dp->store, pos, body, blob, blob_len, &changed);
	o->deadline_us = expiry_ms ? g_get_monotonic_time() + (int64_t)expiry_ms * 1000 : 0;
	// Behind the walk already: its DEL may wait in the queue, so a new one has to queue as well.
	if (fresh && dp->walking && o->pos <= dp->walk_pos)
		o->sync = dp->sync;
	if (dp->state == DP_AWAY) {
		dp_later(dp, done, arg, -ENOTCONN);
	} else if (dp->state == DP_RECOVERING || (dp->walking && o->sync != dp->sync)) {
		o->waiters = dp_waiters_add(o->waiters, done, arg);
	} else if (changed || expiry_ms || o->refused || (done && o->refs > 1)) {
		o->sync = dp->sync;
		dp_enqueue(dp, dp_request_set(dp, o, dp_waiters_add(NULL, done, arg)));
	} else {
		dp_later(dp, done, arg, 0);
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
	bool unsent = dp->state == DP_RECOVERING || (dp->walking && o->sync != dp->sync);
	struct dp_out *del = NULL;

	if (tell && dp->state != DP_AWAY && !unsent)
		del = dp_request_del(dp, o->kind, o->data, o->key_len);
	dp_waiters_later(dp, o->waiters, -ECANCELED);
	o->waiters = NULL;
	if (dp->walk_next == o)
		dp->walk_next = o->next;
	dp_store_remove(dp->store, o);
	if (del)
		dp_enqueue(dp, del);
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

	if (dp->state == DP_AWAY) {
		dp_later(dp, done, arg, -ENOTCONN);
		return;
	}
	o = dp_message(dp, &(struct dp_parts){.op = ST_OP_SET,
				   .kind = ST_KEY,
				   .body = key,
				   .body_len = sizeof(*key),
				   .expiry_ms = expiry_ms,
				   .secret = true});
	dp_request(dp, o)->waiters = dp_waiters_add(NULL, done, arg);
	dp_enqueue(dp, o);
}

void dp_key_del(struct dp *dp, uint32_t index)
{
	struct st_key_key key = {.index = index};

	if (dp->state != DP_AWAY)
		dp_enqueue(dp, dp_request_del(dp, ST_KEY, &key, sizeof(key)));
}

static void order_peer(struct dp *dp, enum st_op op, uint32_t peer_id)
{
	struct st_peer_key key = {.peer_id = peer_id};

	if (dp->state == DP_AWAY)
		return;
	dp_enqueue(dp,
		dp_message(dp,
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
	dp_pump(dp);
}

void dp_socket_park(struct dp *dp, uint32_t socket_id, const char *purpose, int fd)
{
	struct st_socket s;
	struct dp_out *o;

	if (dp->state == DP_AWAY)
		return;
	memset(&s, 0, sizeof(s));
	s.key.socket_id = socket_id;
	g_strlcpy(s.purpose, purpose, sizeof(s.purpose));
	o = dp_message(
		dp, &(struct dp_parts){
			    .op = ST_OP_SET, .kind = ST_SOCKET, .body = &s, .body_len = sizeof(s)});
	o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (o->fd < 0) {
		g_warning("dp: cannot park a socket purpose=%s error=\"%s\"", purpose,
			strerror(errno));
		dp_out_free(o);
		return;
	}
	dp_request(dp, o);
	direct(dp, o);
}

void dp_socket_unpark(struct dp *dp, uint32_t socket_id)
{
	struct st_socket_key key = {.socket_id = socket_id};

	if (dp->state != DP_AWAY)
		direct(dp, dp_request_del(dp, ST_SOCKET, &key, sizeof(key)));
}

bool dp_packet_out(struct dp *dp, const struct st_packet_io *io, const void *data, uint16_t len)
{
	if (dp->state == DP_AWAY || len > ST_PACKET_MAX || dp->direct.length >= PACKETS_MAX) {
		if (!(dp->packets_dropped++ & 1023))
			g_info("dp: datagram for the data plane dropped len=%u dropped=%u", len,
				dp->packets_dropped);
		return false;
	}
	direct(dp, dp_message(dp, &(struct dp_parts){.op = ST_OP_PACKET_OUT,
					  .body = io,
					  .body_len = sizeof(*io),
					  .blob = data,
					  .blob_len = len}));
	return true;
}

void dp_dump(struct dp *dp, uint16_t kind, dp_dump_item item, dp_done done, void *arg)
{
	struct dp_request *r;
	struct dp_out *o;

	if (dp->state == DP_AWAY) {
		dp_later(dp, done, arg, -ENOTCONN);
		return;
	}
	o = dp_message(dp, &(struct dp_parts){.op = ST_OP_DUMP, .kind = kind});
	r = dp_request(dp, o);
	r->item = item;
	r->item_arg = arg;
	r->waiters = dp_waiters_add(NULL, done, arg);
	direct(dp, o);
}
