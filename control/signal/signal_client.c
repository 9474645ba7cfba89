// SPDX-License-Identifier: BSD-3-Clause
//
// The main loop's side of the signal client: peers, the caps, and what comes back from the worker. See
// client_internal.h for the threads.
#include "signal_client.h"

#include "body.h"
#include "client_internal.h"
#include "grpc_log.h"
#include "keyring.h"

#include <sodium.h>

#include <errno.h>
#include <string.h>

#define SYSTEM_ROOTS "/etc/ssl/certs/ca-certificates.crt"

void key_text(char out[KEY_TEXT_LEN + 1], const uint8_t key[SIGNAL_KEY_LEN])
{
	sodium_bin2base64(out, KEY_TEXT_LEN + 1, key, SIGNAL_KEY_LEN, sodium_base64_VARIANT_ORIGINAL);
}

bool key_from_text(uint8_t out[SIGNAL_KEY_LEN], const char *text)
{
	size_t len;

	return sodium_base642bin(out, SIGNAL_KEY_LEN, text, strlen(text), NULL, &len, NULL,
		       sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       len == SIGNAL_KEY_LEN;
}

static guint key_hash(const void *key)
{
	guint h;

	memcpy(&h, key, sizeof(h)); // keys are as good as random, and we chose whom to add
	return h;
}

static gboolean key_equal(const void *a, const void *b)
{
	return !memcmp(a, b, SIGNAL_KEY_LEN);
}

struct peer *peer_ref(struct peer *p)
{
	g_atomic_ref_count_inc(&p->refs);
	return p;
}

void peer_unref(struct peer *p)
{
	if (g_atomic_ref_count_dec(&p->refs))
		g_free(p);
}

const struct box_key *peer_box(struct signal_client *c, struct peer *p)
{
	if (p->box || p->box_failed)
		return p->box;
	p->box = keyring_get(c->keyring);
	if (p->box && !box_key_make(p->box, p->key, c->private_key)) {
		keyring_put(c->keyring, p->box);
		p->box = NULL;
		p->box_failed = true;
	}
	return p->box;
}

// ---- worker: timers, its start and end ----------------------------------------------------------

GSource *client_timer(struct signal_client *c, double ms, GSourceFunc fn, void *arg)
{
	GSource *s = g_timeout_source_new((guint)(ms / c->timer_scale));

	g_source_set_callback(s, fn, arg, NULL);
	g_source_attach(s, c->context);
	g_source_unref(s); // the context's; valid until it has fired or is destroyed
	return s;
}

void client_stopped(struct signal_client *c)
{
	if (c->stopping && c->steps == 0)
		g_main_loop_quit(c->loop);
}

static void on_stop(void *data)
{
	struct signal_client *c = data;

	c->stopping = true;
	stream_stop(c);
	send_cancel_all(c);
	client_stopped(c);
}

static void *worker_run(void *client)
{
	struct signal_client *c = client;

	g_main_context_push_thread_default(c->context);
	stream_connect(c);
	stream_watch(c);
	g_main_loop_run(c->loop);
	g_main_context_pop_thread_default(c->context);
	return NULL;
}

// ---- worker to main -----------------------------------------------------------------------------

struct delivery {
	struct signal_client *client;
	struct peer *peer; // NULL for up, and for strangers
	struct body *body;
	const char *why; // refused
	uint64_t count;
	signal_done done;
	void *arg;
	int status; // or whether we are up
};

static void delivery_post(const struct delivery *d, mailbox_call call)
{
	mailbox_post(d->client->to_main, call, g_memdup2(d, sizeof(*d)));
}

static void on_up(void *data)
{
	struct delivery *d = data;
	struct signal_client *c = d->client;

	if (!c->closing && c->told_up != (bool)d->status) {
		c->told_up = d->status;
		c->ops.ready(c->told_up, c->arg);
	}
	g_free(d);
}

void client_tell_up(struct signal_client *c, bool up)
{
	delivery_post(&(struct delivery){.client = c, .status = up}, on_up);
}

static void on_received(void *data)
{
	struct delivery *d = data;
	struct signal_client *c = d->client;

	g_atomic_int_add(&c->received, -1);
	g_atomic_int_add(&d->peer->received, -1);
	if (!c->closing && !d->peer->removed)
		c->ops.message(body_message(d->body), c->arg);
	body_free(d->body);
	peer_unref(d->peer);
	g_free(d);
}

void client_deliver(struct signal_client *c, struct peer *p, struct body *b)
{
	if (g_atomic_int_get(&c->received) >= SIGNAL_RECEIVED_MAX ||
		g_atomic_int_get(&p->received) >= SIGNAL_RECEIVED_PER_PEER_MAX) {
		STAT_ADD(c, receive_full);
		body_free(b);
		return;
	}
	g_atomic_int_inc(&c->received);
	g_atomic_int_inc(&p->received);
	STAT_ADD(c, received);
	memcpy(body_message_edit(b)->peer, p->key, SIGNAL_KEY_LEN);
	delivery_post(&(struct delivery){.client = c, .peer = peer_ref(p), .body = b}, on_received);
}

static void on_refused(void *data)
{
	struct delivery *d = data;
	struct signal_client *c = d->client;

	if (!c->closing && c->ops.refused && !(d->peer && d->peer->removed))
		c->ops.refused(d->peer ? d->peer->key : NULL, d->why, d->count, c->arg);
	if (d->peer)
		peer_unref(d->peer);
	g_free(d);
}

void client_refuse(struct signal_client *c, struct peer *p, const char *why)
{
	uint64_t count = log_pace_take(p ? &p->refused : &c->refused);
	struct delivery d = {.client = c, .why = why, .count = count};

	if (!count)
		return;
	d.peer = p ? peer_ref(p) : NULL;
	delivery_post(&d, on_refused);
}

static void on_sent(void *data)
{
	struct delivery *d = data;
	struct signal_client *c = d->client;

	c->sends--;
	g_atomic_int_add(&d->peer->sends, -1);
	if (d->done && !c->closing && !d->peer->removed)
		d->done(d->status, d->arg);
	peer_unref(d->peer);
	g_free(d);
}

void client_sent(struct signal_client *c, struct peer *p, int status, signal_done done, void *arg)
{
	struct delivery d = {
		.client = c, .peer = peer_ref(p), .status = status, .done = done, .arg = arg};

	if (status)
		STAT_ADD(c, send_failed);
	else
		STAT_ADD(c, sent);
	delivery_post(&d, on_sent);
}

// ---- main to worker -----------------------------------------------------------------------------

struct command {
	struct signal_client *client;
	struct peer *peer;
	signal_done done;
	void *arg;
	size_t len;
	uint8_t plain[];
};

static struct command *command_new(struct signal_client *c, struct peer *p, size_t len)
{
	struct command *m = g_malloc(sizeof(*m) + len);

	*m = (struct command){.client = c, .peer = peer_ref(p), .len = len};
	return m;
}

static void command_free(struct command *m)
{
	peer_unref(m->peer);
	sodium_memzero(m->plain, m->len); // ICE passwords
	g_free(m);
}

static void on_peer_add(void *data)
{
	struct command *m = data;

	g_hash_table_insert(m->client->worker_peers, m->peer->key, peer_ref(m->peer));
	command_free(m);
}

static void on_peer_del(void *data)
{
	struct command *m = data;
	struct peer *p = m->peer;

	g_hash_table_remove(m->client->worker_peers, p->key);
	keyring_put(m->client->keyring, p->box);
	p->box = NULL;
	p->box_failed = true; // a send that was queued before gets none
	command_free(m);
}

static void on_send(void *data)
{
	struct command *m = data;

	send_start(m->client, m->peer, m->plain, m->len, m->done, m->arg);
	command_free(m);
}

// ---- the interface ------------------------------------------------------------------------------

char *signal_url_check(const char *url, char **ret_error)
{
	bool tls;
	char *target = channel_target(url, &tls, ret_error), *full = NULL;

	if (target)
		full = g_strdup_printf("%s://%s", tls ? "https" : "http", target);
	g_free(target);
	return full;
}

static bool read_settings(struct signal_client *c, const struct signal_settings *s, char **ret_error)
{
	const char *file = s->ca_file ? s->ca_file : SYSTEM_ROOTS;
	GError *error = NULL;
	char *target;
	bool tls;

	target = channel_target(s->url, &tls, ret_error);
	if (!target)
		return false;
	c->target = g_strconcat("dns:///", target, NULL);
	g_free(target);
	if (tls && !g_file_get_contents(file, &c->roots, NULL, &error)) {
		*ret_error = g_strdup_printf("cannot read the certificates of authorities: %s%s",
			error->message,
			s->ca_file ? "" : " (install ca-certificates, or set \"ca\")");
		g_error_free(error);
		return false;
	}
	if (tls && !strstr(c->roots, "-----BEGIN CERTIFICATE-----")) {
		*ret_error = g_strdup_printf("%s: holds no PEM certificate", file);
		return false;
	}
	c->timer_scale = s->timer_scale > 0 ? s->timer_scale : 1;
	memcpy(c->private_key, s->private_key, SIGNAL_KEY_LEN);
	memcpy(c->public_key, s->public_key, SIGNAL_KEY_LEN);
	key_text(c->public_text, c->public_key);
	return true;
}

// Everything that no thread uses any more.
static void client_destroy(struct signal_client *c)
{
	keyring_free(c->keyring);
	sodium_free(c->private_key);
	g_free(c->target);
	g_free(c->roots);
	g_mutex_clear(&c->stats_lock);
	g_free(c);
}

struct signal_client *signal_client_new(const struct signal_settings *settings,
	const struct signal_ops *ops, void *arg, char **ret_error)
{
	struct signal_client *c = g_new0(struct signal_client, 1);

	g_mutex_init(&c->stats_lock);
	c->private_key = sodium_malloc(SIGNAL_KEY_LEN);
	c->keyring = keyring_new();
	c->own_box = keyring_get(c->keyring);
	if (!c->private_key || !c->own_box) {
		*ret_error = g_strdup("no memory can be locked for the keys (RLIMIT_MEMLOCK)");
		client_destroy(c);
		return NULL;
	}
	if (!read_settings(c, settings, ret_error)) {
		client_destroy(c);
		return NULL;
	}
	if (!box_key_make(c->own_box, c->public_key, c->private_key)) {
		*ret_error = g_strdup("the public key is no X25519 key");
		client_destroy(c);
		return NULL;
	}
	grpc_log_begin();
	grpc_init();
	c->ops = *ops;
	c->arg = arg;
	c->backoff_ms = BACKOFF_FIRST_MS;
	c->peers = g_hash_table_new_full(key_hash, key_equal, NULL, (GDestroyNotify)peer_unref);
	c->worker_peers =
		g_hash_table_new_full(key_hash, key_equal, NULL, (GDestroyNotify)peer_unref);
	c->sending = g_hash_table_new(NULL, NULL);
	c->context = g_main_context_new();
	c->loop = g_main_loop_new(c->context, FALSE);
	c->to_main = mailbox_new(NULL);
	c->to_worker = mailbox_new(c->context);
	c->queue = grpc_completion_queue_create_for_next(NULL);
	c->worker = g_thread_new("signal", worker_run, c);
	c->pump = g_thread_new("signal-pump", pump_run, c);
	return c;
}

void signal_client_free(struct signal_client *c)
{
	if (!c)
		return;
	c->closing = true;
	mailbox_post(c->to_worker, on_stop, c);
	g_thread_join(c->worker);
	grpc_completion_queue_shutdown(c->queue);
	g_thread_join(c->pump);
	mailbox_free(c->to_worker);
	mailbox_free(c->to_main);
	grpc_completion_queue_destroy(c->queue);
	g_hash_table_unref(c->sending);
	g_hash_table_unref(c->worker_peers);
	g_hash_table_unref(c->peers);
	g_main_loop_unref(c->loop);
	g_main_context_unref(c->context);
	client_destroy(c);
	grpc_shutdown();
}

static void on_routes(void *data)
{
	stream_network_changed(data, SIGNAL_NETWORK_ROUTES);
}

static void on_doubt(void *data)
{
	stream_network_changed(data, SIGNAL_NETWORK_DOUBT);
}

static void on_moved(void *data)
{
	stream_network_changed(data, SIGNAL_NETWORK_MOVED);
}

void signal_client_network_changed(struct signal_client *c, enum signal_network what)
{
	static const mailbox_call calls[] = {
		[SIGNAL_NETWORK_ROUTES] = on_routes,
		[SIGNAL_NETWORK_DOUBT] = on_doubt,
		[SIGNAL_NETWORK_MOVED] = on_moved,
	};

	mailbox_post(c->to_worker, calls[what], c);
}

int signal_client_peer_add(struct signal_client *c, const uint8_t peer[SIGNAL_KEY_LEN])
{
	struct peer *p;

	if (g_hash_table_contains(c->peers, peer))
		return -EEXIST;
	p = g_new0(struct peer, 1);
	g_atomic_ref_count_init(&p->refs);
	memcpy(p->key, peer, SIGNAL_KEY_LEN);
	g_hash_table_insert(c->peers, p->key, p);
	mailbox_post(c->to_worker, on_peer_add, command_new(c, p, 0));
	return 0;
}

void signal_client_peer_del(struct signal_client *c, const uint8_t peer[SIGNAL_KEY_LEN])
{
	struct peer *p = g_hash_table_lookup(c->peers, peer);

	if (!p)
		return;
	p->removed = true;
	mailbox_post(c->to_worker, on_peer_del, command_new(c, p, 0));
	g_hash_table_remove(c->peers, peer);
}

int signal_client_send(
	struct signal_client *c, const struct signal_message *message, signal_done done, void *arg)
{
	struct peer *p = g_hash_table_lookup(c->peers, message->peer);
	uint8_t plain[SIGNAL_BODY_MAX];
	struct command *m;
	int len;

	if (!p)
		return -ENOENT;
	if (c->sends >= SIGNAL_SENDS_MAX || g_atomic_int_get(&p->sends) >= SIGNAL_SENDS_PER_PEER_MAX) {
		STAT_ADD(c, send_full);
		return -ENOBUFS;
	}
	len = body_encode(plain, message);
	if (len < 0)
		return len;
	c->sends++;
	g_atomic_int_inc(&p->sends);
	m = command_new(c, p, (size_t)len);
	memcpy(m->plain, plain, (size_t)len);
	sodium_memzero(plain, (size_t)len);
	m->done = done;
	m->arg = arg;
	mailbox_post(c->to_worker, on_send, m);
	return 0;
}

void signal_client_stats(const struct signal_client *c, struct signal_stats *ret)
{
	GMutex *lock = (GMutex *)&c->stats_lock;

	g_mutex_lock(lock);
	*ret = c->stats;
	g_mutex_unlock(lock);
}
