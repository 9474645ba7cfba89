// SPDX-License-Identifier: BSD-3-Clause
//
// Interface ids: stable by name, bounded, taken back from a data plane.
#include "../../../../control/dp/ids.h"
#include "../../../../dataplane/api/st_api.h"
#include "../../suite.h"

#include <errno.h>
#include <stdio.h>

static void an_id_is_stable_by_name(void)
{
	uint32_t wan = ids_get("wan"), lan = ids_get("lan");

	CU_ASSERT_NOT_EQUAL(wan, 0);
	CU_ASSERT_NOT_EQUAL(lan, 0);
	CU_ASSERT_NOT_EQUAL(wan, lan);
	CU_ASSERT_EQUAL(ids_get("wan"), wan);
	CU_ASSERT_EQUAL(ids_find("lan"), lan);
	CU_ASSERT_STRING_EQUAL(ids_name(wan), "wan");
	ids_put("wan");
	ids_put("lan");
	CU_ASSERT_EQUAL(ids_find("wan"), 0);
	CU_ASSERT_PTR_NULL(ids_name(wan));
}

static void unknown_and_bad_names_have_no_id(void)
{
	CU_ASSERT_EQUAL(ids_find("nobody"), 0);
	CU_ASSERT_EQUAL(ids_find(""), 0);
	CU_ASSERT_EQUAL(ids_find(NULL), 0);
	CU_ASSERT_EQUAL(ids_get(""), 0);
	CU_ASSERT_EQUAL(ids_get("a-name-of-16-chr"), 0);
	CU_ASSERT_PTR_NULL(ids_name(0));
	CU_ASSERT_PTR_NULL(ids_name(ST_MAX_IFACES));
	CU_ASSERT_PTR_NULL(ids_name(UINT32_MAX));
	ids_put("nobody");
}

static void a_put_id_is_not_given_to_the_next_name(void)
{
	uint32_t old = ids_get("old"), new;

	ids_put("old");
	new = ids_get("new");
	CU_ASSERT_NOT_EQUAL(new, old);
	ids_put("new");
}

static void taken_ids_come_back_and_collisions_are_refused(void)
{
	CU_ASSERT_EQUAL(ids_take("strait0", 200), 0);
	CU_ASSERT_EQUAL(ids_take("strait0", 200), 0);
	CU_ASSERT_EQUAL(ids_get("strait0"), 200);
	CU_ASSERT_EQUAL(ids_take("strait0", 201), -EEXIST);
	CU_ASSERT_EQUAL(ids_take("strait1", 200), -EEXIST);
	CU_ASSERT_EQUAL(ids_take("strait1", 0), -EINVAL);
	CU_ASSERT_EQUAL(ids_take("strait1", 256), -EINVAL);
	CU_ASSERT_EQUAL(ids_take("", 7), -EINVAL);
	ids_put("strait0");
}

static void two_hundred_fifty_five_names_fit_and_put_makes_room(void)
{
	char name[ST_NAME_MAX];
	int i;

	for (i = 0; i < 255; i++) {
		snprintf(name, sizeof(name), "if%d", i);
		CU_ASSERT_NOT_EQUAL(ids_get(name), 0);
	}
	CU_ASSERT_EQUAL(ids_get("one-more"), 0);
	ids_put("if7");
	CU_ASSERT_NOT_EQUAL(ids_get("one-more"), 0);
	for (i = 0; i < 255; i++) {
		snprintf(name, sizeof(name), "if%d", i);
		ids_put(name);
	}
	ids_put("one-more");
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"an id is stable by name", an_id_is_stable_by_name},
		{"unknown and bad names have no id", unknown_and_bad_names_have_no_id},
		{"a put id is not given to the next name", a_put_id_is_not_given_to_the_next_name},
		{"taken ids come back and collisions are refused",
			taken_ids_come_back_and_collisions_are_refused},
		{"255 names fit and put makes room",
			two_hundred_fifty_five_names_fit_and_put_makes_room},
		CU_TEST_INFO_NULL,
	};

	return run_tests("ids", tests);
}
