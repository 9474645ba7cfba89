// SPDX-License-Identifier: BSD-3-Clause
//
// control/seal.c against real files in a directory of its own.
#include "../../../control/seal.h"
#include "../suite.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <sodium.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static char *dir;

static char *in_dir(const char *name)
{
	return g_build_filename(dir, name, NULL);
}

static struct seal *fresh(void)
{
	char *error = NULL;
	struct seal *s = seal_new(dir, &error);

	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	CU_ASSERT_PTR_NULL(error);
	return s;
}

static size_t close_text(struct seal *s, uint8_t out[128], const char *text)
{
	return seal_close(s, out, text, strlen(text), "peer 7", 6);
}

static void sealed_secret_opens_after_a_restart(void)
{
	struct seal *s = fresh();
	uint8_t sealed[128], plain[128];
	size_t len = close_text(s, sealed, "password");

	CU_ASSERT_EQUAL(len, strlen("password") + SEAL_OVERHEAD);
	CU_ASSERT_PTR_NULL(memmem(sealed, len, "password", 8));
	seal_free(s);
	s = fresh();
	CU_ASSERT_EQUAL_FATAL(seal_open(s, plain, sealed, len, "peer 7", 6), 8);
	CU_ASSERT_EQUAL(memcmp(plain, "password", 8), 0);
	seal_free(s);
}

static void every_seal_differs(void)
{
	struct seal *s = fresh();
	uint8_t a[128], b[128];
	size_t len = close_text(s, a, "the same");

	close_text(s, b, "the same");
	CU_ASSERT_NOT_EQUAL(memcmp(a, b, len), 0);
	seal_free(s);
}

static void nothing_may_be_sealed(void)
{
	struct seal *s = fresh();
	uint8_t sealed[SEAL_OVERHEAD], plain[1];

	CU_ASSERT_EQUAL(seal_close(s, sealed, NULL, 0, NULL, 0), SEAL_OVERHEAD);
	CU_ASSERT_EQUAL(seal_open(s, plain, sealed, sizeof(sealed), NULL, 0), 0);
	seal_free(s);
}

static void other_context_length_or_byte_does_not_open(void)
{
	struct seal *s = fresh();
	uint8_t sealed[128], plain[128];
	size_t len = close_text(s, sealed, "password");

	CU_ASSERT_EQUAL(seal_open(s, plain, sealed, len, "peer 8", 6), -EBADMSG);
	CU_ASSERT_EQUAL(seal_open(s, plain, sealed, len, NULL, 0), -EBADMSG);
	for (size_t n = 0; n < len; n++)
		CU_ASSERT_EQUAL(seal_open(s, plain, sealed, n, "peer 7", 6), -EBADMSG);
	for (size_t n = 0; n < len; n++) {
		sealed[n] ^= 1;
		CU_ASSERT_EQUAL(seal_open(s, plain, sealed, len, "peer 7", 6), -EBADMSG);
		sealed[n] ^= 1;
	}
	CU_ASSERT_EQUAL(seal_open(s, plain, sealed, len, "peer 7", 6), 8);
	seal_free(s);
}

static void key_file_is_for_its_owner_alone(void)
{
	g_autofree char *path = in_dir(SEAL_KEY_NAME);
	struct stat st;

	seal_free(fresh());
	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0600);
	CU_ASSERT_EQUAL(st.st_size, 32);
}

// The old key is kept aside and a new one works.
static void check_replaced(void)
{
	g_autofree char *bad = in_dir(SEAL_KEY_NAME ".bad");
	struct seal *s;
	uint8_t sealed[128], plain[128];
	struct stat st;
	size_t len;

	g_unlink(bad);
	s = fresh();
	CU_ASSERT_EQUAL(lstat(bad, &st), 0);
	len = close_text(s, sealed, "new");
	seal_free(s);
	s = fresh();
	CU_ASSERT_EQUAL(seal_open(s, plain, sealed, len, "peer 7", 6), 3);
	seal_free(s);
}

static void damaged_key_file_is_kept_aside(void)
{
	g_autofree char *path = in_dir(SEAL_KEY_NAME);

	seal_free(fresh());
	CU_ASSERT_TRUE(g_file_set_contents(path, "short", 5, NULL));
	CU_ASSERT_EQUAL(g_chmod(path, 0600), 0);
	check_replaced();
}

static void key_file_open_to_others_is_kept_aside(void)
{
	g_autofree char *path = in_dir(SEAL_KEY_NAME);

	seal_free(fresh());
	CU_ASSERT_EQUAL(g_chmod(path, 0640), 0);
	check_replaced();
}

static void symlink_is_not_followed(void)
{
	g_autofree char *path = in_dir(SEAL_KEY_NAME);

	g_unlink(path);
	CU_ASSERT_EQUAL(symlink("/etc/hostname", path), 0);
	check_replaced();
}

static void missing_directory_is_named(void)
{
	g_autofree char *none = in_dir("none");
	char *error = NULL;

	CU_ASSERT_PTR_NULL(seal_new(none, &error));
	CU_ASSERT_PTR_NOT_NULL_FATAL(error);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, none));
	g_free(error);
}

static int start(void)
{
	dir = g_dir_make_tmp("strait-seal-XXXXXX", NULL);
	return dir && sodium_init() >= 0 ? 0 : 1;
}

static int end(void)
{
	static const char *const names[] = {SEAL_KEY_NAME, SEAL_KEY_NAME ".bad"};

	for (size_t n = 0; n < G_N_ELEMENTS(names); n++) {
		g_autofree char *path = in_dir(names[n]);

		g_unlink(path);
	}
	g_rmdir(dir);
	g_free(dir);
	return 0;
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(sealed_secret_opens_after_a_restart),
		TEST(every_seal_differs),
		TEST(nothing_may_be_sealed),
		TEST(other_context_length_or_byte_does_not_open),
		TEST(key_file_is_for_its_owner_alone),
		TEST(damaged_key_file_is_kept_aside),
		TEST(key_file_open_to_others_is_kept_aside),
		TEST(symlink_is_not_followed),
		TEST(missing_directory_is_named),
		CU_TEST_INFO_NULL,
	};
	int ret;

	if (start() != 0)
		return 99;
	ret = run_tests("seal", tests);
	return end() != 0 ? 99 : ret;
}
