// SPDX-License-Identifier: BSD-3-Clause
//
// Worker threads for X25519; see handshake.h. Everything but worker() and handshake_job_run() belongs to
// the main loop; the queues are the only thing both touch, under the lock. It is a pthread one, which
// ThreadSanitizer understands, and GLib's, which is futexes of its own, it does not.
#include "handshake.h"

#include <glib-unix.h>
#include <glib.h>
#include <sodium.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RESULTS_PER_DISPATCH 64

struct handshake_identity {
	gint refs;
	struct noise_identity id;
};

struct job_list {
	struct handshake_job *head, *tail;
	unsigned int count;
};

struct handshake_pool {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job_list strangers, known, results;
	bool stop;
	pthread_t *threads;
	unsigned int nb_threads;
	int event_fd; // readable: results wait
	guint source;
	handshake_done done;
	void *arg;
};

struct handshake_identity *handshake_identity_new(const struct noise_identity *id)
{
	struct handshake_identity *i = sodium_malloc(sizeof(*i));

	if (!i)
		g_error("no locked memory for a private key; raise LimitMEMLOCK");
	i->refs = 1;
	i->id = *id;
	return i;
}

struct handshake_identity *handshake_identity_ref(struct handshake_identity *i)
{
	g_atomic_int_inc(&i->refs);
	return i;
}

void handshake_identity_unref(struct handshake_identity *i)
{
	if (i && g_atomic_int_dec_and_test(&i->refs))
		sodium_free(i); // wipes
}

const struct noise_identity *handshake_identity_get(const struct handshake_identity *i)
{
	return &i->id;
}

struct handshake_job *handshake_job_new(enum handshake_kind kind, struct handshake_identity *identity)
{
	struct handshake_job *job = g_new0(struct handshake_job, 1);

	job->kind = kind;
	job->identity = handshake_identity_ref(identity);
	return job;
}

void handshake_job_free(struct handshake_job *job)
{
	if (!job)
		return;
	handshake_identity_unref(job->identity);
	sodium_memzero(job, sizeof(*job));
	g_free(job);
}

static void list_push(struct job_list *l, struct handshake_job *job)
{
	job->next = NULL;
	if (l->tail)
		l->tail->next = job;
	else
		l->head = job;
	l->tail = job;
	l->count++;
}

static struct handshake_job *list_pop(struct job_list *l)
{
	struct handshake_job *job = l->head;

	if (!job)
		return NULL;
	l->head = job->next;
	if (!l->head)
		l->tail = NULL;
	l->count--;
	return job;
}

static void job_respond(struct handshake_job *job)
{
	bool initiator;

	job->ok = noise_create_response(&job->hs, &job->response, &job->peer, job->local_index, NULL);
	job->remote_index = job->hs.remote_index;
	job->ok = job->ok && noise_derive(&job->hs, &job->keys, &initiator) && !initiator;
}

static void job_complete(struct handshake_job *job)
{
	bool initiator;

	job->ok = noise_consume_response(
		&job->hs, handshake_identity_get(job->identity), &job->peer, &job->response);
	job->remote_index = job->hs.remote_index;
	job->ok = job->ok && noise_derive(&job->hs, &job->keys, &initiator) && initiator;
}

void handshake_job_run(struct handshake_job *job)
{
	const struct noise_identity *id = handshake_identity_get(job->identity);

	switch (job->kind) {
	case HANDSHAKE_IDENTIFY:
		job->ok = noise_consume_initiation_static(
			&job->hs, job->public_key, id, &job->initiation);
		break;
	case HANDSHAKE_COMPLETE:
		job_complete(job);
		break;
	case HANDSHAKE_INITIATE:
		job->ok = noise_create_initiation(&job->hs, &job->initiation, id, &job->peer,
			job->local_index, job->timestamp, NULL);
		break;
	case HANDSHAKE_RESPOND:
		job_respond(job);
		break;
	}
}

static struct handshake_job *next_job(struct handshake_pool *p)
{
	struct handshake_job *job;

	while (!p->stop) {
		job = list_pop(&p->known);
		if (!job)
			job = list_pop(&p->strangers);
		if (job)
			return job;
		pthread_cond_wait(&p->wake, &p->lock);
	}
	return NULL;
}

static void results_signal(const struct handshake_pool *p)
{
	uint64_t one = 1;

	// EAGAIN: the counter is at its limit, so it is readable anyway.
	if (write(p->event_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		g_error("handshake: eventfd: %s", g_strerror(errno));
}

static void *worker(void *arg)
{
	struct handshake_pool *p = arg;
	struct handshake_job *job;

	pthread_mutex_lock(&p->lock);
	while ((job = next_job(p))) {
		pthread_mutex_unlock(&p->lock);
		handshake_job_run(job);
		pthread_mutex_lock(&p->lock);
		list_push(&p->results, job);
		if (p->results.count == 1)
			results_signal(p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static gboolean results_take(gint fd, GIOCondition cond, gpointer arg)
{
	struct handshake_pool *p = arg;
	struct handshake_job *job;
	uint64_t n;
	bool more;

	if (read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		g_error("handshake: eventfd: %s", g_strerror(errno));
	for (int i = 0; i < RESULTS_PER_DISPATCH; i++) {
		pthread_mutex_lock(&p->lock);
		job = list_pop(&p->results);
		pthread_mutex_unlock(&p->lock);
		if (!job)
			return G_SOURCE_CONTINUE;
		p->done(job, p->arg);
	}
	pthread_mutex_lock(&p->lock);
	more = p->results.head;
	pthread_mutex_unlock(&p->lock);
	if (more)
		results_signal(p);
	return G_SOURCE_CONTINUE;
}

unsigned int handshake_pool_threads(void)
{
	unsigned int cpus = g_get_num_processors();

	return cpus > 1 ? cpus - 1 : 1;
}

struct handshake_pool *handshake_pool_new(unsigned int threads, handshake_done done, void *arg)
{
	struct handshake_pool *p = g_new0(struct handshake_pool, 1);

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	p->done = done;
	p->arg = arg;
	p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->event_fd < 0)
		g_error("handshake: eventfd: %s", g_strerror(errno));
	p->source = g_unix_fd_add(p->event_fd, G_IO_IN, results_take, p);
	p->nb_threads = threads;
	p->threads = g_new0(pthread_t, threads);
	for (unsigned int i = 0; i < threads; i++) {
		int r = pthread_create(&p->threads[i], NULL, worker, p);

		if (r)
			g_error("handshake: thread: %s", g_strerror(r));
		pthread_setname_np(p->threads[i], "handshake");
	}
	return p;
}

static void list_free(struct job_list *l)
{
	struct handshake_job *job;

	while ((job = list_pop(l)))
		handshake_job_free(job);
}

void handshake_pool_free(struct handshake_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (unsigned int i = 0; i < p->nb_threads; i++)
		pthread_join(p->threads[i], NULL);
	g_free(p->threads);
	list_free(&p->strangers);
	list_free(&p->known);
	list_free(&p->results);
	g_source_remove(p->source);
	close(p->event_fd);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	g_free(p);
}

static bool from_stranger(const struct handshake_job *job)
{
	return job->kind == HANDSHAKE_IDENTIFY || job->kind == HANDSHAKE_COMPLETE;
}

bool handshake_pool_push(struct handshake_pool *p, struct handshake_job *job)
{
	bool taken = true;

	pthread_mutex_lock(&p->lock);
	if (!from_stranger(job))
		list_push(&p->known, job);
	else if (p->strangers.count < MAX_QUEUED_HANDSHAKES)
		list_push(&p->strangers, job);
	else
		taken = false;
	if (taken)
		pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	return taken;
}

unsigned int handshake_pool_queued(struct handshake_pool *p)
{
	unsigned int n;

	pthread_mutex_lock(&p->lock);
	n = p->strangers.count;
	pthread_mutex_unlock(&p->lock);
	return n;
}
