// SPDX-License-Identifier: BSD-3-Clause
//
// The workers that do X25519, with real threads: what comes back, in what order, and what is refused. In a
// build with -Db_sanitize=thread this is also the check of the queues for data races.
#include "../../../../control/wg/handshake.h"
#include "../../suite.h"

#include <glib.h>
#include <sodium.h>

#include <string.h>

#define WORKERS    3
#define HANDSHAKES 64
#define CROWD      2000 // strangers; more than a worker takes while they are pushed

struct side {
	struct handshake_identity *identity;
	struct noise_peer peer; // the other side
};

static struct side a, b;
static struct handshake_pool *pool;
static GPtrArray *back; // jobs, in the order in which they came back

static void came_back(struct handshake_job *job, void *arg)
{
	g_ptr_array_add(arg, job);
}

static struct handshake_identity *identity_random(void)
{
	struct noise_identity id = {0};
	uint8_t key[NOISE_KEY_LEN];

	randombytes_buf(key, sizeof(key));
	noise_identity_init(&id, key);
	return handshake_identity_new(&id);
}

static void peer_of(struct side *s, const struct side *other)
{
	noise_peer_init(&s->peer, handshake_identity_get(s->identity),
		handshake_identity_get(other->identity)->public_key, NULL);
}

static void up(unsigned int workers)
{
	a.identity = identity_random();
	b.identity = identity_random();
	peer_of(&a, &b);
	peer_of(&b, &a);
	back = g_ptr_array_new();
	pool = handshake_pool_new(workers, came_back, back);
}

static void down(void)
{
	handshake_pool_free(pool);
	for (guint i = 0; i < back->len; i++)
		handshake_job_free(back->pdata[i]);
	g_ptr_array_free(back, TRUE);
	handshake_identity_unref(a.identity);
	handshake_identity_unref(b.identity);
}

static gboolean too_late(gpointer arg)
{
	*(bool *)arg = true;
	return G_SOURCE_REMOVE;
}

static bool wait_for(guint n)
{
	bool late = false;
	guint timer = g_timeout_add(30000, too_late, &late);

	while (back->len < n && !late)
		g_main_context_iteration(NULL, TRUE);
	if (!late)
		g_source_remove(timer);
	return !late;
}

static struct handshake_job *initiate(uint32_t index)
{
	struct handshake_job *job = handshake_job_new(HANDSHAKE_INITIATE, a.identity);

	job->peer = a.peer;
	job->local_index = index;
	job->timestamp[0] = 0x40;
	return job;
}

static struct handshake_job *job_at(GPtrArray *jobs, guint i)
{
	return jobs->pdata[i];
}

// Takes what came back, so that the next kind starts from an empty list.
static GPtrArray *take_back(void)
{
	GPtrArray *jobs = g_ptr_array_new();

	for (guint i = 0; i < back->len; i++)
		g_ptr_array_add(jobs, back->pdata[i]);
	g_ptr_array_set_size(back, 0);
	return jobs;
}

static void jobs_free(GPtrArray *jobs)
{
	for (guint i = 0; i < jobs->len; i++)
		handshake_job_free(jobs->pdata[i]);
	g_ptr_array_free(jobs, TRUE);
}

static struct handshake_job *by_index(GPtrArray *jobs, uint32_t index)
{
	for (guint i = 0; i < jobs->len; i++) {
		if (job_at(jobs, i)->local_index == index)
			return job_at(jobs, i);
	}
	return NULL;
}

static bool identified(struct handshake_job *job)
{
	return job->ok &&
	       !memcmp(job->public_key, handshake_identity_get(a.identity)->public_key, 32) &&
	       noise_consume_initiation_timestamp(
		       &job->hs, job->timestamp, &b.peer, &job->initiation);
}

static GPtrArray *initiate_all(void)
{
	for (uint32_t n = 0; n < HANDSHAKES; n++)
		CU_ASSERT_TRUE(handshake_pool_push(pool, initiate(n + 1)));
	CU_ASSERT_TRUE_FATAL(wait_for(HANDSHAKES));
	return take_back();
}

static GPtrArray *identify_all(GPtrArray *initiated)
{
	for (guint n = 0; n < initiated->len; n++) {
		struct handshake_job *job = handshake_job_new(HANDSHAKE_IDENTIFY, b.identity);

		CU_ASSERT_TRUE(job_at(initiated, n)->ok);
		job->initiation = job_at(initiated, n)->initiation;
		job->local_index = job_at(initiated, n)->local_index + HANDSHAKES;
		CU_ASSERT_TRUE(handshake_pool_push(pool, job));
	}
	CU_ASSERT_TRUE_FATAL(wait_for(initiated->len));
	return take_back();
}

static GPtrArray *respond_all(GPtrArray *identity)
{
	for (guint n = 0; n < identity->len; n++) {
		struct handshake_job *job = job_at(identity, n);

		CU_ASSERT_TRUE(identified(job));
		job->kind = HANDSHAKE_RESPOND;
		job->peer = b.peer;
		CU_ASSERT_TRUE(handshake_pool_push(pool, job));
	}
	CU_ASSERT_TRUE_FATAL(wait_for(identity->len));
	g_ptr_array_free(identity, TRUE);
	return take_back();
}

static GPtrArray *complete_all(GPtrArray *initiated, GPtrArray *responded)
{
	for (guint n = 0; n < responded->len; n++) {
		const struct handshake_job *theirs = job_at(responded, n);
		const struct handshake_job *ours =
			by_index(initiated, theirs->local_index - HANDSHAKES);
		struct handshake_job *job = handshake_job_new(HANDSHAKE_COMPLETE, a.identity);

		CU_ASSERT_TRUE(theirs->ok);
		CU_ASSERT_PTR_NOT_NULL_FATAL(ours);
		job->hs = ours->hs;
		job->peer = a.peer;
		job->local_index = ours->local_index;
		job->response = theirs->response;
		CU_ASSERT_TRUE(handshake_pool_push(pool, job));
	}
	CU_ASSERT_TRUE_FATAL(wait_for(responded->len));
	return take_back();
}

static void many_handshakes_at_once_end_in_the_same_keys(void)
{
	GPtrArray *initiated, *responded, *completed;

	up(WORKERS);
	initiated = initiate_all();
	responded = respond_all(identify_all(initiated));
	completed = complete_all(initiated, responded);
	for (uint32_t n = 1; n <= HANDSHAKES; n++) {
		const struct handshake_job *ours = by_index(completed, n);
		const struct handshake_job *theirs = by_index(responded, n + HANDSHAKES);

		CU_ASSERT_PTR_NOT_NULL_FATAL(ours);
		CU_ASSERT_PTR_NOT_NULL_FATAL(theirs);
		CU_ASSERT_TRUE(ours->ok);
		CU_ASSERT_EQUAL(ours->remote_index, theirs->local_index);
		CU_ASSERT_EQUAL(theirs->remote_index, ours->local_index);
		CU_ASSERT_FALSE(memcmp(ours->keys.send, theirs->keys.recv, 32));
		CU_ASSERT_FALSE(memcmp(ours->keys.recv, theirs->keys.send, 32));
	}
	jobs_free(initiated);
	jobs_free(responded);
	jobs_free(completed);
	down();
}

// The interface gets another key while workers still compute with the old one.
static void a_changed_identity_outlives_its_jobs(void)
{
	up(WORKERS);
	for (uint32_t n = 0; n < HANDSHAKES; n++) {
		handshake_pool_push(pool, initiate(n + 1));
		if (n % 8 != 7)
			continue;
		handshake_identity_unref(a.identity);
		a.identity = identity_random();
		peer_of(&a, &b);
	}
	CU_ASSERT_TRUE(wait_for(HANDSHAKES));
	for (guint n = 0; n < back->len; n++)
		CU_ASSERT_TRUE(job_at(back, n)->ok);
	down();
}

static struct handshake_job *stranger(void)
{
	struct handshake_job *job = handshake_job_new(HANDSHAKE_IDENTIFY, b.identity);

	randombytes_buf(&job->initiation, sizeof(job->initiation));
	memcpy(job->initiation.type, "\1\0\0\0", 4);
	return job;
}

// Without workers nothing is taken out.
static void strangers_are_bounded_and_peers_are_not(void)
{
	struct handshake_job *job;

	up(0);
	for (unsigned int n = 0; n < MAX_QUEUED_HANDSHAKES; n++)
		CU_ASSERT_TRUE(handshake_pool_push(pool, stranger()));
	CU_ASSERT_EQUAL(handshake_pool_queued(pool), MAX_QUEUED_HANDSHAKES);
	job = stranger();
	CU_ASSERT_FALSE(handshake_pool_push(pool, job));
	handshake_job_free(job);
	CU_ASSERT_TRUE(handshake_pool_push(pool, initiate(1)));
	CU_ASSERT_EQUAL(handshake_pool_queued(pool), MAX_QUEUED_HANDSHAKES);
	down(); // with all that waits
}

static void a_known_peer_does_not_wait_behind_strangers(void)
{
	guint place = 0, taken;

	up(1);
	for (unsigned int n = 0; n < CROWD; n++)
		handshake_pool_push(pool, stranger());
	handshake_pool_push(pool, initiate(1));
	taken = CROWD - handshake_pool_queued(pool);
	CU_ASSERT_TRUE(taken < CROWD);
	CU_ASSERT_TRUE_FATAL(wait_for(CROWD + 1));
	while (job_at(back, place)->kind != HANDSHAKE_INITIATE)
		place++;
	CU_ASSERT_TRUE(place <= taken);
	for (guint n = 0; n < back->len; n++)
		CU_ASSERT_EQUAL(job_at(back, n)->ok, job_at(back, n)->kind == HANDSHAKE_INITIATE);
	down();
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"many handshakes at once end in the same keys",
			many_handshakes_at_once_end_in_the_same_keys},
		{"a changed identity outlives its jobs", a_changed_identity_outlives_its_jobs},
		{"strangers are bounded and peers are not", strangers_are_bounded_and_peers_are_not},
		{"a known peer does not wait behind strangers",
			a_known_peer_does_not_wait_behind_strangers},
		CU_TEST_INFO_NULL,
	};

	if (sodium_init() < 0)
		return 99;
	return run_tests("handshake", tests);
}
