// SPDX-License-Identifier: BSD-3-Clause
//
// object.c with kinds of its own: mark and sweep, expiry, blobs, once-kinds, cursors.
#include "env.h"
#include "server/object.h"

#include <errno.h>

struct thing {
	uint32_t id;
	uint32_t value;
};

static unsigned int sets, dels, scrubs;
static int refuse;
static uint32_t last_deleted;

static int thing_set(const void *body, const void *old)
{
	sets++;
	return refuse;
}

static void thing_del(const void *body)
{
	dels++;
	last_deleted = ((const struct thing *)body)->id;
}

static void thing_scrub(void *body)
{
	scrubs++;
	((struct thing *)body)->value = 0;
}

// Owns the things of the same number: deleting it deletes them, as a peer does with its keys.
static void owner_del(const void *body)
{
	uint32_t id = ((const struct thing *)body)->id;

	dels++;
	object_del(1, &id, sizeof(id));
}

static uint32_t thing_owner(const void *body)
{
	return ((const struct thing *)body)->value;
}

const struct object_kind object_kinds[] = {
	{.kind = 1,
		.name = "thing",
		.key_len = 4,
		.body_len = 8,
		.max = 5000,
		.set = thing_set,
		.del = thing_del},
	{.kind = 2,
		.name = "once",
		.key_len = 4,
		.body_len = 8,
		.max = 4,
		.flags = KIND_F_ONCE | KIND_F_KEEP | KIND_F_SECRET,
		.set = thing_set,
		.del = thing_del,
		.scrub = thing_scrub},
	{.kind = 3,
		.name = "owner",
		.key_len = 4,
		.body_len = 8,
		.max = 100,
		.set = thing_set,
		.del = owner_del},
	{.kind = 4,
		.name = "owned",
		.key_len = 4,
		.body_len = 8,
		.max = 100,
		.set = thing_set,
		.del = thing_del,
		.owner = thing_owner,
		.owners = 8},
	{.kind = 0},
};

static void begin(void)
{
	sets = dels = scrubs = 0;
	refuse = 0;
	CU_ASSERT_EQUAL_FATAL(objects_init(), 0);
	object_clock(1000);
}

static int put(uint16_t kind, uint32_t id, uint32_t value, uint32_t expiry)
{
	struct thing t = {id, value};

	return object_set(kind, &t, sizeof(t), NULL, 0, expiry);
}

static bool has(uint16_t kind, uint32_t id)
{
	return object_find(kind, &id) != NULL;
}

static void a_set_replaces_the_whole_object(void)
{
	struct object_cursor c;
	struct object_view v;
	struct thing t = {1, 7};
	uint32_t id = 1;

	begin();
	CU_ASSERT_EQUAL(object_set(1, &t, sizeof(t), "blob", 4, 0), 0);
	CU_ASSERT_EQUAL(object_cursor_open(&c, 1), 0);
	CU_ASSERT_TRUE_FATAL(object_cursor_next(&c, &v));
	CU_ASSERT_EQUAL(v.blob_len, 4);
	CU_ASSERT_EQUAL(memcmp(v.blob, "blob", 4), 0);
	object_cursor_close(&c);
	CU_ASSERT_EQUAL(put(1, 1, 8, 0), 0);
	CU_ASSERT_EQUAL(((const struct thing *)object_find(1, &id))->value, 8);
	CU_ASSERT_EQUAL(object_cursor_open(&c, 1), 0);
	CU_ASSERT_TRUE_FATAL(object_cursor_next(&c, &v));
	CU_ASSERT_EQUAL(v.blob_len, 0);
	CU_ASSERT_FALSE(object_cursor_next(&c, &v));
	object_cursor_close(&c);
	CU_ASSERT_EQUAL(object_count(1), 1);
	objects_fini();
	CU_ASSERT_EQUAL(dels, 1);
}

static void a_refused_set_leaves_the_old_one(void)
{
	uint32_t id = 1;

	begin();
	CU_ASSERT_EQUAL(put(1, 1, 7, 0), 0);
	refuse = -ENODEV;
	CU_ASSERT_EQUAL(put(1, 1, 8, 0), -ENODEV);
	CU_ASSERT_EQUAL(put(1, 2, 8, 0), -ENODEV);
	CU_ASSERT_EQUAL(((const struct thing *)object_find(1, &id))->value, 7);
	CU_ASSERT_FALSE(has(1, 2));
	objects_fini();
}

static void wrong_lengths_and_kinds_are_refused(void)
{
	struct thing t = {1, 1};
	uint8_t blob[ST_BLOB_MAX + 1] = {0};

	begin();
	CU_ASSERT_EQUAL(object_set(1, &t, 7, NULL, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(object_set(1, &t, 9, NULL, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(object_set(9, &t, 8, NULL, 0, 0), -ENOTSUP);
	CU_ASSERT_EQUAL(object_set(1, &t, 8, blob, sizeof(blob), 0), -EINVAL);
	CU_ASSERT_EQUAL(object_del(1, &t, 8), -EINVAL);
	CU_ASSERT_EQUAL(object_del(1, &t, 4), -ENOENT);
	CU_ASSERT_EQUAL(sets, 0);
	objects_fini();
}

static void a_once_kind_takes_a_key_once_and_forgets_its_secret(void)
{
	uint32_t id = 1;

	begin();
	CU_ASSERT_EQUAL(put(2, 1, 0xdeadbeef, 0), 0);
	CU_ASSERT_EQUAL(scrubs, 1);
	CU_ASSERT_EQUAL(((const struct thing *)object_find(2, &id))->value, 0);
	CU_ASSERT_EQUAL(put(2, 1, 1, 0), -EEXIST);
	CU_ASSERT_EQUAL(object_del(2, &id, 4), 0);
	CU_ASSERT_EQUAL(put(2, 1, 1, 0), 0);
	objects_fini();
}

static void the_cap_of_a_kind_holds(void)
{
	begin();
	for (uint32_t i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(put(2, i, 0, 0), 0);
	CU_ASSERT_EQUAL(put(2, 4, 0, 0), -ENOSPC);
	objects_fini();
}

static void a_sync_sweeps_what_was_not_said_again(void)
{
	begin();
	for (uint32_t i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(put(1, i, 0, 0), 0);
	CU_ASSERT_EQUAL(put(2, 1, 0, 0), 0); // kept
	CU_ASSERT_EQUAL(put(3, 3, 0, 0), 0); // goes, and takes thing 3 with it
	object_sync_begin();
	for (uint32_t i = 0; i < 10; i += 2)
		CU_ASSERT_EQUAL(put(1, i, 1, 0), 0);
	CU_ASSERT_EQUAL(put(1, 100, 1, 0), 0);
	dels = 0;
	object_sync_end();
	CU_ASSERT_EQUAL(dels, 6);
	for (uint32_t i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(has(1, i), i % 2 == 0);
	CU_ASSERT_TRUE(has(1, 100));
	CU_ASSERT_TRUE(has(2, 1));
	CU_ASSERT_FALSE(has(3, 3));
	CU_ASSERT_EQUAL(object_sync_end(), 0);
	objects_fini();
}

static unsigned int expired_count;
static uint32_t expired_ids[512];

static void on_expired(uint16_t kind, const void *key, uint16_t key_len)
{
	memcpy(&expired_ids[expired_count++ % 512], key, 4);
}

static void expiry_follows_the_clock(void)
{
	struct object_cursor c;
	struct object_view v;

	begin();
	expired_count = 0;
	CU_ASSERT_EQUAL(put(1, 1, 0, 500), 0);
	CU_ASSERT_EQUAL(put(1, 2, 0, 0), 0);
	CU_ASSERT_EQUAL(put(1, 3, 0, 100), 0);
	object_expire(1099, on_expired);
	CU_ASSERT_EQUAL(expired_count, 0);
	object_cursor_open(&c, 1);
	CU_ASSERT_TRUE_FATAL(object_cursor_next(&c, &v));
	CU_ASSERT_EQUAL(v.expiry_left_ms, 401);
	object_cursor_close(&c);
	object_expire(1100, on_expired);
	CU_ASSERT_EQUAL(expired_count, 1);
	CU_ASSERT_EQUAL(expired_ids[0], 3);
	CU_ASSERT_EQUAL(put(1, 1, 0, 1000), 0); // said again: counts anew
	object_expire(1600, on_expired);
	CU_ASSERT_EQUAL(expired_count, 1);
	CU_ASSERT_EQUAL(put(1, 1, 0, 0), 0); // never
	object_expire(1000000, on_expired);
	CU_ASSERT_EQUAL(expired_count, 1);
	CU_ASSERT_TRUE(has(1, 1) && has(1, 2));
	objects_fini();
}

static void so_many_go_in_one_turn(void)
{
	unsigned int wrong = 0, turns = 1;

	begin();
	expired_count = 0;
	object_limit(1, 3 * OBJECT_EXPIRE_MAX);
	for (uint32_t i = 0; i < 2 * OBJECT_EXPIRE_MAX + 1; i++)
		wrong += put(1, i, 0, 500) != 0;
	CU_ASSERT_EQUAL(wrong, 0);
	while (object_expire(2000, on_expired))
		turns++;
	CU_ASSERT_EQUAL(turns, 3);
	CU_ASSERT_EQUAL(expired_count, 2 * OBJECT_EXPIRE_MAX + 1);
	CU_ASSERT_EQUAL(object_count(1), 0);
	objects_fini();
}

#define MANY 5000 // no power of two: the last round of splits is under way

static void all_are_found_while_the_table_grows(void)
{
	unsigned int wrong = 0;

	begin();
	object_limit(1, MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		wrong += put(1, i, i, 0) != 0;
		wrong += !has(1, i) || !has(1, i / 2) || has(1, i + 1);
	}
	for (uint32_t i = 0; i < MANY; i += 2)
		wrong += object_del(1, &i, sizeof(i)) != 0;
	for (uint32_t i = 0; i < MANY; i++)
		wrong += has(1, i) != (i % 2 == 1);
	for (uint32_t i = 0; i < MANY; i += 2)
		wrong += put(1, i, i, 0) != 0;
	for (uint32_t i = 0; i < MANY; i++)
		wrong += !has(1, i);
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(object_count(1), MANY);
	objects_fini();
}

static void another_cap_can_be_set(void)
{
	begin();
	object_limit(1, 2);
	CU_ASSERT_EQUAL(put(1, 1, 0, 0), 0);
	CU_ASSERT_EQUAL(put(1, 2, 0, 0), 0);
	CU_ASSERT_EQUAL(put(1, 3, 0, 0), -ENOSPC);
	objects_fini();
}

static void many_expiries_come_in_order(void)
{
	uint32_t last = 0;
	unsigned int wrong = 0;

	begin();
	expired_count = 0;
	for (uint32_t i = 0; i < 500; i++)
		wrong += put(1, i, 0, 1 + (i * 7919) % 500) != 0;
	for (uint32_t i = 0; i < 500; i += 3)
		wrong += object_del(1, &i, 4) != 0;
	for (uint64_t t = 1000; t <= 1600; t++)
		object_expire(t, on_expired);
	CU_ASSERT_EQUAL(expired_count, 500 - 167);
	for (unsigned int i = 0; i < expired_count; i++) {
		uint32_t when = 1 + (expired_ids[i] * 7919) % 500;

		wrong += when < last;
		last = when;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(object_count(1), 0);
	objects_fini();
}

static void a_cursor_survives_changes_under_it(void)
{
	struct object_cursor c;
	struct object_view v;
	unsigned int seen = 0;

	begin();
	for (uint32_t i = 0; i < 1000; i++)
		put(1, i, 0, 0);
	CU_ASSERT_EQUAL(object_cursor_open(&c, 1), 0);
	for (uint32_t i = 0; object_cursor_next(&c, &v); i++) {
		uint32_t id = ((const struct thing *)v.body)->id, next = id + 1;

		seen++;
		object_del(1, &id, 4);
		if (i % 2 == 0)
			object_del(1, &next, 4); // the one that would come now
		else
			put(1, next, 9, 0); // replaced under the cursor
	}
	object_cursor_close(&c);
	CU_ASSERT(seen >= 500 && seen <= 1000);
	CU_ASSERT_EQUAL(object_count(1), 0);
	CU_ASSERT_EQUAL(object_cursor_open(&c, 77), -ENOTSUP);
	objects_fini();
}

static uint32_t first_of(uint32_t owner)
{
	const struct thing *t = object_owned(4, owner);

	return t == NULL ? 0 : t->id;
}

static void what_an_owner_has_is_found_by_its_number(void)
{
	uint32_t id = 2;

	begin();
	CU_ASSERT_EQUAL(first_of(3), 0);
	CU_ASSERT_EQUAL(put(4, 1, 3, 0), 0);
	CU_ASSERT_EQUAL(put(4, 2, 3, 0), 0);
	CU_ASSERT_EQUAL(put(4, 5, 3, 100), 0);
	CU_ASSERT_EQUAL(put(4, 9, 7, 0), 0);
	CU_ASSERT_EQUAL(put(4, 1, 4, 0), 0); // moves to another owner
	CU_ASSERT_EQUAL(first_of(4), 1);
	object_expire(1100, on_expired);
	CU_ASSERT_EQUAL(first_of(3), 2);
	CU_ASSERT_EQUAL(put(4, 1, 3, 0), 0); // and back
	CU_ASSERT_EQUAL(first_of(4), 0);
	CU_ASSERT_EQUAL(object_del(4, &id, 4), 0);
	CU_ASSERT_EQUAL(first_of(3), 1);
	CU_ASSERT_EQUAL(first_of(7), 9);
	CU_ASSERT_EQUAL(first_of(8), 0); // beyond the owners there are
	CU_ASSERT_PTR_NULL(object_owned(1, 3));
	objects_fini();
	CU_ASSERT_PTR_NULL(object_owned(4, 3));
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a set replaces the whole object", a_set_replaces_the_whole_object},
		{"a refused set leaves the old one", a_refused_set_leaves_the_old_one},
		{"wrong lengths and kinds are refused", wrong_lengths_and_kinds_are_refused},
		{"a once-kind takes a key once and forgets its secret",
			a_once_kind_takes_a_key_once_and_forgets_its_secret},
		{"the cap of a kind holds", the_cap_of_a_kind_holds},
		{"a sync sweeps what was not said again", a_sync_sweeps_what_was_not_said_again},
		{"expiry follows the clock", expiry_follows_the_clock},
		{"so many go in one turn", so_many_go_in_one_turn},
		{"all are found while the table grows", all_are_found_while_the_table_grows},
		{"another cap can be set", another_cap_can_be_set},
		{"many expiries come in order", many_expiries_come_in_order},
		{"a cursor survives changes under it", a_cursor_survives_changes_under_it},
		{"what an owner has is found by its number", what_an_owner_has_is_found_by_its_number},
		CU_TEST_INFO_NULL,
	};

	return run_tests("object", tests);
}
