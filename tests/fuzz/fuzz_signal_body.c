// SPDX-License-Identifier: BSD-3-Clause
//
// What a stranger's signal message reaches: the Body after its box was opened, and the text inside as
// credentials (as a candidate: fuzz_ice.c). What was read must survive being written again.
#include "../../control/ice/candidate.h"
#include "../../control/signal/body.h"

#include <glib.h>

#include <stdlib.h>
#include <string.h>

static void check_credentials(const char *text)
{
	struct ice_credentials c;
	g_autofree char *again = NULL;

	if (ice_credentials_parse(&c, text))
		return;
	again = g_strdup_printf("%s:%s", c.ufrag, c.pwd);
	if (strcmp(again, text))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct body *b = body_decode(data, len), *again;
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
	check_credentials(body_message(b)->payload);
	body_free(b);
	return 0;
}
