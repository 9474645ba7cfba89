// SPDX-License-Identifier: BSD-3-Clause
//
// Text of others, as it is shown.
#include "../../../control/text.h"
#include "../suite.h"

#include <CUnit/CUnit.h>
#include <glib.h>

#include <string.h>

static void what_is_cut_ends_with_a_whole_character(void)
{
	static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9f"; // of 1, 2, 3, 4 bytes
	static const size_t ends[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
	char out[16];

	for (size_t size = 1; size <= G_N_ELEMENTS(ends); size++) {
		memset(out, 'x', sizeof(out));
		text_copy(out, size, text);
		CU_ASSERT_EQUAL(strlen(out), ends[size - 1]);
		CU_ASSERT_EQUAL(memcmp(out, text, strlen(out)), 0);
		CU_ASSERT_TRUE(g_utf8_validate(out, -1, NULL));
		CU_ASSERT_EQUAL(out[size], 'x');
	}
}

static void what_is_no_utf8_is_replaced(void)
{
	char out[16];

	text_copy(out, sizeof(out),
		"a\xff"
		"b\xc3");
	CU_ASSERT_STRING_EQUAL(out, "a\xef\xbf\xbd"
				    "b\xef\xbf\xbd");
}

static void control_characters_reach_no_terminal(void)
{
	char out[16];

	text_copy(out, sizeof(out), "1\x1b[2J\n\x7f.");
	CU_ASSERT_STRING_EQUAL(out, "1?[2J??.");
	text_copy(out, sizeof(out), NULL);
	CU_ASSERT_STRING_EQUAL(out, "");
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(what_is_cut_ends_with_a_whole_character),
		TEST(what_is_no_utf8_is_replaced),
		TEST(control_characters_reach_no_terminal),
		CU_TEST_INFO_NULL,
	};

	return run_tests("text", tests);
}
