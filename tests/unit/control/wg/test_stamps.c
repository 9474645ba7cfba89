// SPDX-License-Identifier: BSD-3-Clause
//
// control/wg/stamps.c with a clock of the test's own and real files.
#include "../../../../control/wg/stamps.h"
#include "../../../../crypto/tai64n.h"
#include "../../suite.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <sodium.h>

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND 1000000LL
#define NOW    (1700000000LL * SECOND)

static char *dir, *path;

static bool grew(struct stamps *s, uint8_t last[TAI64N_LEN], int64_t us)
{
	uint8_t before[TAI64N_LEN];

	memcpy(before, last, sizeof(before));
	stamps_next(s, last, us);
	return memcmp(last, before, sizeof(before)) > 0;
}

// Whole seconds that a stamp is ahead of the clock.
static int64_t ahead(const uint8_t stamp[TAI64N_LEN], int64_t us)
{
	uint8_t now[TAI64N_LEN];
	int64_t difference = 0;

	tai64n_from(now, (uint64_t)(us / SECOND), 0);
	for (int n = 0; n < 8; n++)
		difference = difference * 256 + stamp[n] - now[n];
	return difference;
}

static void stamps_of_a_peer_strictly_grow_whatever_the_clock_does(void)
{
	struct stamps *s = stamps_new(dir);
	uint8_t last[TAI64N_LEN] = {0};

	for (int n = 0; n < 1000; n++)
		CU_ASSERT_TRUE(grew(s, last, NOW - n * 3600 * SECOND));
	CU_ASSERT_TRUE(grew(s, last, NOW + SECOND * 60));
	CU_ASSERT_EQUAL(ahead(last, NOW + SECOND * 60), 0);
	CU_ASSERT_TRUE(grew(s, last, -5));
	stamps_free(s);
}

static void initiations_to_one_peer_do_not_advance_another(void)
{
	struct stamps *s = stamps_new(dir);
	uint8_t busy[TAI64N_LEN] = {0}, quiet[TAI64N_LEN] = {0};

	g_unlink(path);
	stamps_free(s);
	s = stamps_new(dir);
	for (int n = 0; n < 10000; n++)
		CU_ASSERT_TRUE(grew(s, busy, NOW));
	CU_ASSERT_TRUE(ahead(busy, NOW) > 100);
	CU_ASSERT_TRUE(grew(s, quiet, NOW));
	CU_ASSERT_EQUAL(ahead(quiet, NOW), 0);
	stamps_free(s);
}

static void thousands_of_initiations_at_their_pace_stay_with_the_clock(void)
{
	uint8_t last[16][TAI64N_LEN] = {0};
	struct stamps *s;
	int64_t now = NOW;

	g_unlink(path);
	s = stamps_new(dir);
	// 16 peers, each every 5 s, with a restart of both daemons now and then.
	for (int n = 0; n < 2000; n++, now += 5 * SECOND) {
		for (int k = 0; k < 16; k++) {
			CU_ASSERT_TRUE(grew(s, last[k], now));
			CU_ASSERT_EQUAL(ahead(last[k], now), 0);
		}
		if (n % 100)
			continue;
		stamps_free(s);
		s = stamps_new(dir);
	}
	stamps_free(s);
}

static void a_restart_of_both_with_the_clock_set_back_goes_on_above(void)
{
	uint8_t before[TAI64N_LEN] = {0}, after[TAI64N_LEN] = {0};
	struct stamps *s = stamps_new(dir);

	CU_ASSERT_TRUE(grew(s, before, NOW + 86400 * SECOND));
	stamps_free(s);
	for (int restart = 0; restart < 5; restart++) {
		s = stamps_new(dir);
		memset(after, 0, sizeof(after)); // nobody remembers
		CU_ASSERT_TRUE(grew(s, after, NOW));
		CU_ASSERT_TRUE(memcmp(after, before, sizeof(after)) > 0);
		memcpy(before, after, sizeof(before));
		stamps_free(s);
	}
	CU_ASSERT_TRUE(ahead(after, NOW) <= 86401);
}

static void a_damaged_file_is_kept_aside(const char *text, size_t len)
{
	g_autofree char *bad = g_strconcat(path, ".bad", NULL);
	uint8_t last[TAI64N_LEN] = {0}, again[TAI64N_LEN] = {0};
	struct stamps *s;

	g_unlink(bad);
	CU_ASSERT_TRUE(g_file_set_contents(path, text, (gssize)len, NULL));
	s = stamps_new(dir);
	CU_ASSERT_EQUAL(g_access(bad, F_OK), 0);
	CU_ASSERT_TRUE(grew(s, last, NOW));
	CU_ASSERT_EQUAL(ahead(last, NOW), 0);
	stamps_free(s);
	// And the new file works.
	s = stamps_new(dir);
	CU_ASSERT_TRUE(grew(s, again, 0));
	CU_ASSERT_TRUE(memcmp(again, last, sizeof(last)) > 0);
	stamps_free(s);
}

static void damaged_files_are_kept_aside(void)
{
	g_autofree char *good = NULL;
	struct stamps *s = stamps_new(dir);
	uint8_t last[TAI64N_LEN] = {0};
	gsize len;

	CU_ASSERT_TRUE(grew(s, last, NOW));
	stamps_free(s);
	CU_ASSERT_TRUE_FATAL(g_file_get_contents(path, &good, &len, NULL));
	CU_ASSERT_EQUAL(len, 32);
	a_damaged_file_is_kept_aside(good, len - 1);
	good[6] ^= 1;
	a_damaged_file_is_kept_aside(good, len);
	a_damaged_file_is_kept_aside("nonsense", 8);
}

static void without_a_directory_stamps_still_grow(void)
{
	struct stamps *s = stamps_new("/nowhere");
	uint8_t last[TAI64N_LEN] = {0};

	CU_ASSERT_TRUE(grew(s, last, NOW));
	CU_ASSERT_TRUE(grew(s, last, NOW));
	stamps_free(s);
}

static void the_file_is_for_its_owner_alone(void)
{
	struct stat st;

	stamps_free(stamps_new(dir));
	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0600);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"stamps of a peer strictly grow whatever the clock does",
			stamps_of_a_peer_strictly_grow_whatever_the_clock_does},
		{"initiations to one peer do not advance another",
			initiations_to_one_peer_do_not_advance_another},
		{"thousands of initiations at their pace stay with the clock",
			thousands_of_initiations_at_their_pace_stay_with_the_clock},
		{"a restart of both with the clock set back goes on above",
			a_restart_of_both_with_the_clock_set_back_goes_on_above},
		{"damaged files are kept aside", damaged_files_are_kept_aside},
		{"without a directory stamps still grow", without_a_directory_stamps_still_grow},
		{"the file is for its owner alone", the_file_is_for_its_owner_alone},
		CU_TEST_INFO_NULL,
	};

	g_autofree char *bad = NULL;
	int ret;

	dir = g_dir_make_tmp("strait-stamps-XXXXXX", NULL);
	if (!dir || sodium_init() < 0)
		return 99;
	path = g_build_filename(dir, STAMPS_NAME, NULL);
	ret = run_tests("stamps", tests);
	bad = g_strconcat(path, ".bad", NULL);
	g_unlink(path);
	g_unlink(bad);
	g_rmdir(dir);
	g_free(path);
	g_free(dir);
	return ret;
}
