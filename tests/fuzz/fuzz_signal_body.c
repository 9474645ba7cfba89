// SPDX-License-Identifier: BSD-3-Clause
//
// What a stranger's signal message reaches: the Body after its box was opened, and the text inside, as
// credentials and as a candidate. What was read must survive being written again.
#include "../../control/signal/body.h"
#include "../../control/signal/candidate.h"

#include <glib.h>

#include <stdlib.h>
#include <string.h>

static void check_candidate(const char *text)
{
	struct signal_candidate c, again;
	char buf[SIGNAL_CANDIDATE_MAX];

	if (signal_candidate_parse(text, &c))
		return;
	signal_candidate_print(&c, buf, sizeof(buf));
	if (signal_candidate_parse(buf, &again) || again.port != c.port ||
		memcmp(&again.addr, &c.addr, sizeof(c.addr)) || again.type != c.type)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct body *b = body_decode(data, len), *again;
	struct signal_credentials credentials;
	uint8_t out[SIGNAL_BODY_MAX];
	int n;

	if (!b)
		return 0;
	n = body_encode(out, body_message(b));
	if (n >= 0) {
		again = body_decode(out, (size_t)n);
		if (!again || strcmp(body_message(again)->payload, body_message(b)->payload))
			abort();
		body_free(again);
	}
	signal_credentials_parse(body_message(b)->payload, &credentials);
	check_candidate(body_message(b)->payload);
	body_free(b);
	return 0;
}
