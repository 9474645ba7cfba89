// SPDX-License-Identifier: BSD-3-Clause
//
// The replay window against a table of single steps, long runs, and a model that remembers everything.
#include "../../../crypto/replay.h"
#include "check.h"

#define W REPLAY_WINDOW

// One row per packet; the window is one behind the other through the whole table.
struct step {
	uint64_t counter;
	bool accepted;
};

static void run_table(const struct step *steps, size_t n)
{
	struct replay r;

	replay_init(&r);
	for (size_t i = 0; i < n; i++) {
		struct replay before = r;
		bool accepted = replay_check(&r, steps[i].counter);

		if (accepted != steps[i].accepted)
			printf("\n    step %zu, counter %llu: %s\n", i,
				(unsigned long long)steps[i].counter,
				accepted ? "accepted" : "refused");
		CU_ASSERT_EQUAL(accepted, steps[i].accepted);
		if (!accepted)
			CU_ASSERT_EQUAL(memcmp(&before, &r, sizeof(r)), 0);
	}
}

#define RUN(...)                                                                                   \
	do {                                                                                       \
		static const struct step steps[] = {__VA_ARGS__};                                  \
		run_table(steps, sizeof(steps) / sizeof(steps[0]));                                \
	} while (0)

static void replay_accepts_each_counter_once_around_zero(void)
{
	RUN({0, true}, {0, false}, {1, true}, {1, false}, {9, true}, {8, true}, {7, true},
		{7, false}, {6, true}, {5, true}, {4, true}, {3, true}, {2, true}, {2, false},
		{0, false}, {10, true}, {9, false}, {10, false});
}

static void replay_may_begin_anywhere(void)
{
	RUN({5, true}, {0, true}, {5, false}, {0, false});
	RUN({W + 1, true}, {0, false}, {1, true}, {1, false});
	RUN({1ULL << 40, true}, {0, false}, {(1ULL << 40) - W, true}, {(1ULL << 40) - W - 1, false});
}

static void replay_keeps_exactly_the_window(void)
{
	// The oldest counter accepted is greatest - W.
	RUN({2 * W, true}, {W, true}, {W, false}, {W - 1, false}, {2 * W - 1, true}, {W + 1, true},
		{2 * W + 1, true}, {W, false}, {W + 1, false}, {W + 2, true});
	// At borders of words, where the redundant word is what keeps the past apart from the present.
	RUN({8191, true}, {8191 - W, true}, {8191 - W - 1, false}, {8192, true}, {8192 - W, true},
		{8192 - W - 1, false}, {8255, true}, {8255 - W, true}, {8254 - W, false},
		{8256, true}, {8256 - W, true}, {8255 - W, false});
}

static void replay_forgets_all_after_a_leap(void)
{
	RUN({0, true}, {1, true}, {63, true}, {8192, true}, {8192 + 63, true}, {0, false},
		{63, false}, {64, false}, {127, true}, {128, true}, {1000, true}, {1000, false});
	// A leap of a multiple of the ring: same words, and nothing in them may have survived.
	RUN({100, true}, {100 + 8192, true}, {100 + 8192 - 1, true}, {100 + 3 * 8192, true},
		{100 + 3 * 8192 - 1, true}, {100 + 3 * 8192 - 8000, true}, {100 + 2 * 8192, false});
}

static void replay_ends_at_reject_after_messages(void)
{
	RUN({REJECT_AFTER_MESSAGES - 1, true}, {REJECT_AFTER_MESSAGES - 1, false},
		{REJECT_AFTER_MESSAGES, false}, {REJECT_AFTER_MESSAGES + 1, false},
		{REJECT_AFTER_MESSAGES - 2, true}, {REJECT_AFTER_MESSAGES - 2, false},
		{REJECT_AFTER_MESSAGES - 1 - W, true}, {REJECT_AFTER_MESSAGES - 2 - W, false},
		{0, false}, {UINT64_MAX, false}, {UINT64_MAX - 1, false});
	RUN({UINT64_MAX, false}, {REJECT_AFTER_MESSAGES, false}, {0, true});
}

static void replay_takes_a_run_forward_and_nothing_of_it_again(void)
{
	struct replay r;

	replay_init(&r);
	for (uint64_t i = 0; i < 3 * REPLAY_BITS; i++)
		CU_ASSERT(replay_check(&r, i));
	for (uint64_t i = 0; i < 3 * REPLAY_BITS; i++)
		CU_ASSERT(!replay_check(&r, i));
}

static void replay_takes_a_run_backward_to_the_edge(void)
{
	const uint64_t top = 5 * REPLAY_BITS + 17;
	struct replay r;

	replay_init(&r);
	for (uint64_t i = 0; i <= W; i++)
		CU_ASSERT(replay_check(&r, top - i));
	CU_ASSERT(!replay_check(&r, top - W - 1));
	for (uint64_t i = 0; i <= W; i++)
		CU_ASSERT(!replay_check(&r, top - i));
}

static void replay_fills_holes_once(void)
{
	struct replay r;

	replay_init(&r);
	for (uint64_t i = 0; i <= W; i += 3)
		CU_ASSERT(replay_check(&r, i));
	for (uint64_t i = 0; i <= W; i++)
		CU_ASSERT_EQUAL(replay_check(&r, i), i % 3 != 0);
}

// The model: every counter ever accepted, and the rule in one line.
static void replay_equals_a_model_on_random_walks(void)
{
	enum { SPAN = 400000 };
	uint8_t *seen = malloc(SPAN);

	CU_ASSERT_PTR_NOT_NULL_FATAL(seen);
	for (uint32_t reach = 1; reach <= 65536; reach *= 4) {
		uint64_t top = 0, base = 20000;
		bool any = false;
		struct replay r;

		memset(seen, 0, SPAN);
		replay_init(&r);
		for (int i = 0; i < 40000 && base < SPAN - 70000; i++) {
			uint64_t c = base - 10000 + randombytes_uniform(10000 + reach);
			bool want = (!any || c + W >= top) && !seen[c];

			CU_ASSERT_EQUAL(replay_check(&r, c), want);
			if (!want)
				continue;
			seen[c] = 1;
			if (!any || c > top)
				top = c;
			any = true;
			base = top > base ? top : base;
		}
	}
	free(seen);
}

static CU_TestInfo tests[] = {
	TEST(replay_accepts_each_counter_once_around_zero),
	TEST(replay_may_begin_anywhere),
	TEST(replay_keeps_exactly_the_window),
	TEST(replay_forgets_all_after_a_leap),
	TEST(replay_ends_at_reject_after_messages),
	TEST(replay_takes_a_run_forward_and_nothing_of_it_again),
	TEST(replay_takes_a_run_backward_to_the_edge),
	TEST(replay_fills_holes_once),
	TEST(replay_equals_a_model_on_random_walks),
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return sodium_init() < 0 ? 99 : run_tests("replay", tests);
}
