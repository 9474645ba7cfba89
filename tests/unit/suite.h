// SPDX-License-Identifier: BSD-3-Clause
//
// A suite of CUnit: the list of its tests, each named by its function or by a sentence, and its main.
#pragma once

#include <CUnit/Basic.h>

// An element of a list of CU_TestInfo, which CU_TEST_INFO_NULL ends.
#define TEST(fn)                                                                                   \
	{                                                                                          \
#fn, fn                                                                            \
	}

// What main() returns: 0 when no assertion failed.
static inline int run_tests(const char *name, CU_TestInfo *tests)
{
	CU_SuiteInfo suites[] = {{.pName = name, .pTests = tests}, CU_SUITE_INFO_NULL};
	unsigned int failed;

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 99;
	CU_basic_set_mode(CU_BRM_VERBOSE);
	if (CU_basic_run_tests() != CUE_SUCCESS)
		return 99;
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
