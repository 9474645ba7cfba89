// SPDX-License-Identifier: BSD-3-Clause
//
// Requests of the UAPI, any bytes cut into lines. Whatever comes, what reaches the device is in range, and
// a well-formed request afterwards is understood.
#include "../../control/wg/uapi_parse.h"

#include <stdlib.h>
#include <string.h>

#define expect(it) ((it) ? (void)0 : abort())

static unsigned int marks;

static int private_key(const uint8_t key[NOISE_KEY_LEN], void *arg)
{
	return 0;
}

static int listen_port(uint16_t port, void *arg)
{
	return 0;
}

static int fwmark(uint32_t mark, void *arg)
{
	marks++;
	return 0;
}

static int replace_peers(void *arg)
{
	return 0;
}

static int peer(const struct uapi_peer *p, void *arg)
{
	expect(p->allowed->len <= UAPI_ALLOWED_BATCH);
	for (guint n = 0; n < p->allowed->len; n++)
		expect(g_array_index(p->allowed, struct uapi_allowed, n).prefix.plen <= 128);
	return 0;
}

static const struct uapi_set_ops ops = {private_key, listen_port, fwmark, replace_peers, peer, NULL};

static void expect_sane(struct uapi_parser *p)
{
	int error = -1;

	// Ends whatever the input left open.
	uapi_parser_line(p, "", &error);
	marks = 0;
	expect(uapi_parser_line(p, "set=1", &error) == UAPI_MORE);
	expect(uapi_parser_line(p, "fwmark=7", &error) == UAPI_MORE);
	expect(uapi_parser_line(p, "", &error) == UAPI_REPLY);
	expect(error == 0 && marks == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	struct uapi_parser *p = uapi_parser_new(&ops, NULL);
	char line[UAPI_LINE_MAX + 1];
	size_t used = 0;
	bool cut = false;
	int error = 0;

	for (size_t n = 0; n < len; n++) {
		if (in[n] == '\n') {
			line[used] = 0;
			uapi_parser_line(p, cut ? NULL : line, &error);
			expect(error >= 0);
			used = 0;
			cut = false;
		} else if (used == UAPI_LINE_MAX || !in[n]) {
			cut = true;
		} else {
			line[used++] = (char)in[n];
		}
	}
	expect_sane(p);
	uapi_parser_free(p);
	return 0;
}
