// SPDX-License-Identifier: BSD-3-Clause
//
// How many objects of the kinds that a peer or a TURN client brings are installed in strait-dp, by the contract's
// dumps: "peer=1 allowed_ip=2 endpoint=1 key=1 portmap=4 stat_peer=1" on one line.
//
// usage: dpobjects [RUN-DIR]
#include "../../control/ctl/dpclient.h"

#include <stdio.h>

static void count(const void *body, void *arg)
{
	(*(unsigned int *)arg)++;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint16_t kind;
	} kinds[] = {{"peer", ST_PEER}, {"allowed_ip", ST_ALLOWED_IP}, {"endpoint", ST_ENDPOINT},
		{"key", ST_KEY}, {"portmap", ST_PORTMAP}, {"stat_peer", ST_STAT_PEER},
		{"relay", ST_RELAY}, {"permission", ST_PERMISSION}, {"channel", ST_CHANNEL},
		{"turn_user", ST_TURN_USER}};
	const char *run_dir = argc > 1 ? argv[1] : "/run/strait";
	static struct dpclient dp;
	int err = dpclient_open(&dp, run_dir);

	for (unsigned int k = 0; !err && k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		unsigned int n = 0;

		err = dpclient_dump(&dp, kinds[k].kind, 0, count, &n);
		printf("%s%s=%u", k ? " " : "", kinds[k].name, n);
	}
	puts("");
	if (err)
		fprintf(stderr, "dpobjects: %s\n", dpclient_explain(err, run_dir));
	return err ? 1 : 0;
}
