// SPDX-License-Identifier: BSD-3-Clause
//
// TAI64N: the bytes, the rounding, and that stamps grow whatever the clock does.
#include "../../../crypto/tai64n.h"
#include "check.h"

static void tai64n_writes_the_known_bytes(void)
{
	uint8_t t[TAI64N_LEN];

	tai64n_from(t, 0, 0);
	CU_ASSERT(check_same(t, sizeof(t), "400000000000000a00000000"));
	tai64n_from(t, 1700000000, 999999999);
	CU_ASSERT(check_same(t, sizeof(t), "400000006553f10a3b000000"));
	tai64n_from(t, 1700000000, (1 << 24) - 1);
	CU_ASSERT(check_same(t, sizeof(t), "400000006553f10a00000000"));
	tai64n_from(t, 1700000000, 1 << 24);
	CU_ASSERT(check_same(t, sizeof(t), "400000006553f10a01000000"));
	// beyond 2038 and 2106
	tai64n_from(t, 0x1ffffffff, 0);
	CU_ASSERT(check_same(t, sizeof(t), "400000020000000900000000"));
}

static void tai64n_never_tells_finer_than_its_grain(void)
{
	for (uint32_t ns = 0; ns < 1000000000; ns += 7654321) {
		uint8_t t[TAI64N_LEN];

		tai64n_from(t, 1, ns);
		CU_ASSERT(sodium_is_zero(t + 9, 3));
	}
}

static void tai64n_follows_a_clock_that_runs(void)
{
	uint8_t last[TAI64N_LEN] = {0}, t[TAI64N_LEN], want[TAI64N_LEN];

	for (uint64_t ms = 0; ms < 5000; ms += 25) {
		tai64n_next(t, last, 1700000000 + ms / 1000, (uint32_t)(ms % 1000 * 1000000));
		tai64n_from(want, 1700000000 + ms / 1000, (uint32_t)(ms % 1000 * 1000000));
		CU_ASSERT_EQUAL(memcmp(t, want, sizeof(t)), 0);
		CU_ASSERT(memcmp(t, last, sizeof(t)) > 0);
		memcpy(last, t, sizeof(t));
	}
}

static void tai64n_grows_while_the_clock_stands_or_steps_back(void)
{
	uint8_t last[TAI64N_LEN], t[TAI64N_LEN];

	tai64n_from(last, 1700000000, 999999999);
	for (int i = 0; i < 500; i++) {
		// stands, steps back by an hour, goes back to 1970
		const uint64_t clocks[] = {1700000000, 1700000000 - 3600, 0};

		tai64n_next(t, last, clocks[i % 3], 0);
		CU_ASSERT(memcmp(t, last, sizeof(t)) > 0);
		CU_ASSERT(sodium_is_zero(t + 9, 3));
		CU_ASSERT(t[8] < 60); // below a second
		memcpy(last, t, sizeof(t));
	}
	// A second holds 60 grains, so 500 after the last of this one end in the ninth second: it
	// moves by the smallest step, and does not run away.
	tai64n_from(t, 1700000000 + 10, 0);
	CU_ASSERT(memcmp(last, t, sizeof(t)) < 0);
}

static void tai64n_takes_the_smallest_stamp_above_the_last(void)
{
	uint8_t last[TAI64N_LEN], t[TAI64N_LEN];

	check_hex(last, sizeof(last), "400000006553f10a01000000");
	tai64n_next(t, last, 0, 0);
	CU_ASSERT(check_same(t, sizeof(t), "400000006553f10a02000000"));
	check_hex(last, sizeof(last), "400000006553f10a01000001"); // not one of ours
	tai64n_next(t, last, 0, 0);
	CU_ASSERT(check_same(t, sizeof(t), "400000006553f10a02000000"));
	check_hex(last, sizeof(last), "400000006553f10a3b000000"); // the last of its second
	tai64n_next(t, last, 0, 0);
	CU_ASSERT(check_same(t, sizeof(t), "400000006553f10b00000000"));
	check_hex(last, sizeof(last), "400000006553f10affffffff"); // no valid nanoseconds
	tai64n_next(t, last, 0, 0);
	CU_ASSERT(check_same(t, sizeof(t), "400000006553f10b00000000"));
	check_hex(last, sizeof(last), "400000006553f10a02000000"); // in place
	tai64n_next(last, last, 1700000000, 2 << 24);
	CU_ASSERT(check_same(last, sizeof(last), "400000006553f10a03000000"));
	// Nothing is above the last of all; it must at least not wrap to the first.
	check_hex(last, sizeof(last), "ffffffffffffffffffffffff");
	tai64n_next(t, last, 0, 0);
	CU_ASSERT_EQUAL(memcmp(t, last, sizeof(t)), 0);
}

static CU_TestInfo tests[] = {
	TEST(tai64n_writes_the_known_bytes),
	TEST(tai64n_never_tells_finer_than_its_grain),
	TEST(tai64n_follows_a_clock_that_runs),
	TEST(tai64n_grows_while_the_clock_stands_or_steps_back),
	TEST(tai64n_takes_the_smallest_stamp_above_the_last),
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return sodium_init() < 0 ? 99 : run_tests("tai64n", tests);
}
