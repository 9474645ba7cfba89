// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl status and version: both daemons, and what one knows when the other is away.
#include "adminclient.h"
#include "ctl.h"
#include "gather.h"
#include "human.h"
#include "list.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void format_stall(char *out, size_t size, const cJSON *value, const cJSON *row)
{
	uint64_t ms = list_json_u64(cJSON_GetObjectItemCaseSensitive(value, "ms"));

	if (ms)
		snprintf(out, size, "%lu ms in %s", (unsigned long)ms, list_json_text(value, "in"));
	else
		snprintf(out, size, "-");
}

static const struct list_column wg_columns[] = {
	{"INTERFACE", "name", false, NULL},
	{"LISTEN PORT", "listen_port", true, NULL},
	{"MTU", "mtu", true, NULL},
	{"PEERS", "peers", true, NULL},
	{"PUBLIC KEY", "public_key", false, NULL},
	{NULL, NULL, false, NULL},
};

static const struct list_column iface_columns[] = {
	{"PORT", "name", false, NULL},
	{"KIND", "kind", false, NULL},
	{"LINK", "link_up", false, NULL},
	{"RX PACKETS", "rx_packets", true, NULL},
	{"RX", "rx_bytes", true, human_format_bytes},
	{"TX PACKETS", "tx_packets", true, NULL},
	{"TX", "tx_bytes", true, human_format_bytes},
	{NULL, NULL, false, NULL},
};

static const struct list_column lcore_columns[] = {
	{"LCORE", "lcore", true, NULL},
	{"CPU", "cpu", true, NULL},
	{"BUSY", "busy_percent", true, human_format_percent},
	{"SLEEPS", "sleeps", true, NULL},
	{"HANDED IN", "handoff_in", true, NULL},
	{"HANDED OUT", "handoff_out", true, NULL},
	{"STALLS", "stalls", true, NULL},
	{"LONGEST STALL", "longest_stall", false, format_stall},
	{NULL, NULL, false, NULL},
};

static const struct list_column pool_columns[] = {
	{"POOL", "name", false, NULL},
	{"SIZE", "size", true, NULL},
	{"FREE", "available", true, NULL},
	{NULL, NULL, false, NULL},
};

static int add_dataplane(const struct ctl *c, struct dpclient *dp, cJSON *doc)
{
	cJSON *o = cJSON_AddObjectToObject(doc, "strait_dp");
	uint64_t drops;
	int err;

	cJSON_AddNumberToObject(o, "pid", dp->hello.pid);
	cJSON_AddStringToObject(o, "version", dp->hello.version_text);
	cJSON_AddNumberToObject(o, "lcores", dp->hello.lcores);
	cJSON_AddStringToObject(o, "aead", dp->hello.aead);
	list_json_add(o, "uptime_ms", dp->hello.uptime_ms);
	err = gather_ifaces(dp, cJSON_AddArrayToObject(doc, "ports"));
	if (!err)
		err = gather_lcores(dp, cJSON_AddArrayToObject(doc, "lcores"));
	if (!err)
		err = gather_pools(dp, cJSON_AddArrayToObject(doc, "pools"));
	if (!err)
		err = gather_drop_total(dp, &drops);
	if (!err)
		list_json_add(doc, "dropped_packets", drops);
	return err;
}

static void print_straitd(const cJSON *d, const char *away)
{
	const cJSON *dp = cJSON_GetObjectItemCaseSensitive(d, "dataplane");
	char up[HUMAN_MAX];

	if (!d) {
		printf("straitd    away: %s\n", away);
		return;
	}
	printf("straitd    running, pid %.0f, version %s, up %s, %s, config %s%s\n",
		cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(d, "pid")),
		list_json_text(d, "version"),
		human_span(up, list_json_u64(cJSON_GetObjectItemCaseSensitive(d, "uptime_s"))),
		cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(dp, "connected"))
			? "connected to strait-dp"
			: "not connected to strait-dp",
		list_json_text(d, "config"),
		cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(d, "applied")) ? ""
									     : ", still starting");
}

static void print_dataplane(const cJSON *doc, const char *away)
{
	const cJSON *d = cJSON_GetObjectItemCaseSensitive(doc, "strait_dp");
	char up[HUMAN_MAX];

	if (cJSON_IsNull(d)) {
		printf("strait-dp  away: %s\n", away);
		return;
	}
	printf("strait-dp  running, pid %.0f, version %s, up %s, %.0f lcores, AEAD %s, %s packets "
	       "dropped\n",
		cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(d, "pid")),
		list_json_text(d, "version"),
		human_span(up, list_json_u64(cJSON_GetObjectItemCaseSensitive(d, "uptime_ms")) / 1000),
		cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(d, "lcores")),
		list_json_text(d, "aead"),
		cJSON_GetObjectItemCaseSensitive(doc, "dropped_packets")->valuestring);
}

static void print_table(const cJSON *doc, const char *key, const struct list_column *columns)
{
	const cJSON *array = cJSON_GetObjectItemCaseSensitive(doc, key);

	if (cJSON_GetArraySize(array) <= 0)
		return;
	putchar('\n');
	list_print(columns, array);
}

static void print_document(const cJSON *doc)
{
	char *text = cJSON_Print(doc);

	if (!text)
		abort();
	puts(text);
	cJSON_free(text);
}

static void move_member(cJSON *from, cJSON *to, const char *key)
{
	cJSON *v = cJSON_DetachItemFromObjectCaseSensitive(from, key);

	if (v)
		cJSON_AddItemToObject(to, key, v);
}

// One member of doc per daemon: an object, or null and the reason beside it.
static int gather(const struct ctl *c, cJSON *doc, char away[2][512])
{
	struct dpclient dp;
	cJSON *straitd = NULL;
	char *error = NULL;
	int daemon = adminclient_ask(c->run_dir, adminclient_request("status"), &straitd, &error);
	int err;

	if (daemon) {
		snprintf(away[0], sizeof(away[0]), "%s",
			error ? error : adminclient_explain(daemon, c->run_dir));
		free(error);
		cJSON_AddNullToObject(doc, "straitd");
	} else {
		cJSON_AddItemToObject(doc, "straitd", straitd);
		move_member(straitd, doc, "interfaces");
		cJSON_DeleteItemFromObjectCaseSensitive(straitd, "peers");
	}
	err = dpclient_open(&dp, c->run_dir);
	if (!err) {
		err = add_dataplane(c, &dp, doc);
		dpclient_close(&dp);
	}
	if (err) {
		snprintf(away[1], sizeof(away[1]), "%s", dpclient_explain(err, c->run_dir));
		cJSON_DeleteItemFromObjectCaseSensitive(doc, "strait_dp");
		cJSON_AddNullToObject(doc, "strait_dp");
	}
	return daemon && err ? CTL_AWAY : daemon || err ? CTL_PARTLY : CTL_OK;
}

int status_run(const struct ctl *c, int argc, char **argv)
{
	cJSON *doc = cJSON_CreateObject(), *straitd;
	char away[2][512] = {"", ""};
	int status = gather(c, doc, away);

	if (c->json) {
		print_document(doc);
	} else {
		straitd = cJSON_GetObjectItemCaseSensitive(doc, "straitd");
		print_straitd(cJSON_IsNull(straitd) ? NULL : straitd, away[0]);
		print_dataplane(doc, away[1]);
		print_table(doc, "interfaces", wg_columns);
		print_table(doc, "ports", iface_columns);
		print_table(doc, "lcores", lcore_columns);
		print_table(doc, "pools", pool_columns);
	}
	cJSON_Delete(doc);
	return status;
}

int version_run(const struct ctl *c, int argc, char **argv)
{
	cJSON *doc = cJSON_CreateObject();
	struct dpclient dp;
	cJSON *straitd = NULL;
	char *error = NULL;

	cJSON_AddStringToObject(doc, "straitctl", STRAIT_VERSION);
	cJSON_AddNumberToObject(doc, "contract", ST_API_VERSION);
	if (!adminclient_ask(c->run_dir, adminclient_request("status"), &straitd, &error))
		cJSON_AddStringToObject(doc, "straitd", list_json_text(straitd, "version"));
	else
		cJSON_AddNullToObject(doc, "straitd");
	free(error);
	cJSON_Delete(straitd);
	if (!dpclient_open(&dp, c->run_dir)) {
		cJSON_AddStringToObject(doc, "strait_dp", dp.hello.version_text);
		dpclient_close(&dp);
	} else {
		cJSON_AddNullToObject(doc, "strait_dp");
	}
	if (c->json) {
		print_document(doc);
	} else {
		const char *d = list_json_text(doc, "straitd"),
			   *p = list_json_text(doc, "strait_dp");

		printf("straitctl %s (contract version %d)\nstraitd   %s\nstrait-dp %s\n",
			STRAIT_VERSION, ST_API_VERSION, *d ? d : "not running",
			*p ? p : "not running");
	}
	cJSON_Delete(doc);
	return CTL_OK;
}
