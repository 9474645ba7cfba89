// SPDX-License-Identifier: BSD-3-Clause
//
// What the suites of crypto/ share: hex in and out, bytes compared, and a main that fails when an
// assertion failed.
#pragma once

#include <CUnit/Basic.h>
#include <sodium.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check_test {
	const char *name;
	void (*run)(void);
};

// Parses hex of any length into out and returns how many bytes that was.
static inline size_t check_hex(uint8_t *out, size_t max, const char *hex)
{
	size_t len = 0;

	if (sodium_hex2bin(out, max, hex, strlen(hex), NULL, &len, NULL) != 0) {
		fprintf(stderr, "bad hex in a test: %s\n", hex);
		exit(2);
	}
	return len;
}

static inline int check_same(const void *data, size_t len, const char *hex)
{
	uint8_t want[8192];

	return check_hex(want, sizeof(want), hex) == len && memcmp(data, want, len) == 0;
}

static inline int check_main(const char *suite_name, const struct check_test *tests, size_t n)
{
	CU_pSuite suite;
	unsigned int failed;

	if (sodium_init() < 0 || CU_initialize_registry() != CUE_SUCCESS)
		return 2;
	suite = CU_add_suite(suite_name, NULL, NULL);
	if (suite == NULL)
		return 2;
	for (size_t i = 0; i < n; i++) {
		if (CU_add_test(suite, tests[i].name, tests[i].run) == NULL)
			return 2;
	}
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}

#define CHECK_TEST(fn)                                                                             \
	{                                                                                          \
#fn, fn                                                                            \
	}
#define CHECK_MAIN(name, tests)                                                                    \
	int main(void)                                                                             \
	{                                                                                          \
		return check_main(name, tests, sizeof(tests) / sizeof(tests[0]));                  \
	}
