// SPDX-License-Identifier: BSD-3-Clause
//
// The configuration's reader: any text gives a config or a message, never both, and a config can be turned
// into strait-dp's command line.
#include "../../control/config/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = g_strndup((const char *)data, size), *error = NULL, *args;
	struct config *c = config_parse("fuzz.json", text, &error);

	if (!c == !error)
		abort();
	if (c) {
		args = config_dp_args(c);
		if (!args || strchr(args, '\n'))
			abort();
		g_free(args);
	}
	if (error && strncmp(error, "fuzz.json:", 10))
		abort();
	config_free(c);
	g_free(error);
	g_free(text);
	return 0;
}
