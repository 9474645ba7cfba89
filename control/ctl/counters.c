// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl stages and drops: counters per lcore, summed unless asked otherwise.
#include "ctl.h"
#include "gather.h"
#include "list.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A data plane of a later version may have more; what is beyond is not shown.
#define STAGES_MAX  64
#define REASONS_MAX 256

struct stage_table {
	bool per_lcore;
	struct st_stat_stage sum[STAGES_MAX];
	struct list *list;
};

struct drop_table {
	bool per_lcore, all;
	struct st_stat_drop sum[REASONS_MAX];
	struct list *list;
};

static void format_ratio(char *out, size_t size, const cJSON *value, const cJSON *row)
{
	if (cJSON_IsNumber(value))
		snprintf(out, size, "%.1f", value->valuedouble);
	else
		snprintf(out, size, "-");
}

static void format_lcore(char *out, size_t size, const cJSON *value, const cJSON *row)
{
	if (cJSON_IsNumber(value))
		snprintf(out, size, "%.0f", value->valuedouble);
	else
		snprintf(out, size, "all");
}

static const struct list_column stage_columns[] = {
	{"STAGE", "stage", false, NULL},
	{"LCORE", "lcore", true, format_lcore},
	{"CALLS", "calls", true, NULL},
	{"PACKETS", "packets", true, NULL},
	{"PACKETS/CALL", "packets_per_call", true, format_ratio},
	{"CYCLES/PACKET", "cycles_per_packet", true, format_ratio},
	{NULL, NULL, false, NULL},
};

static const struct list_column drop_columns[] = {
	{"REASON", "reason", false, NULL},
	{"LCORE", "lcore", true, format_lcore},
	{"PACKETS", "packets", true, NULL},
	{"MEANING", "meaning", false, NULL},
	{NULL, NULL, false, NULL},
};

static void add_name(cJSON *o, const char *key, const char *name, size_t size)
{
	char copy[64];

	snprintf(copy, sizeof(copy), "%.*s", (int)strnlen(name, size), name);
	cJSON_AddStringToObject(o, key, copy);
}

static void add_stage(struct list *l, const struct st_stat_stage *s, bool per_lcore)
{
	cJSON *o = cJSON_CreateObject();

	add_name(o, "stage", s->name, sizeof(s->name));
	if (per_lcore)
		cJSON_AddNumberToObject(o, "lcore", s->lcore);
	list_json_add(o, "calls", s->calls);
	list_json_add(o, "packets", s->packets);
	list_json_add(o, "cycles", s->cycles);
	if (s->calls)
		cJSON_AddNumberToObject(o, "packets_per_call", (double)s->packets / (double)s->calls);
	if (s->packets)
		cJSON_AddNumberToObject(
			o, "cycles_per_packet", (double)s->cycles / (double)s->packets);
	list_add(l, o);
}

static void on_stage(const void *body, void *arg)
{
	const struct st_stat_stage *s = body;
	struct stage_table *t = arg;

	if (t->per_lcore) {
		add_stage(t->list, s, true);
	} else if (s->stage < STAGES_MAX) {
		memcpy(t->sum[s->stage].name, s->name, sizeof(s->name));
		t->sum[s->stage].calls += s->calls;
		t->sum[s->stage].packets += s->packets;
		t->sum[s->stage].cycles += s->cycles;
	}
}

int stages_run(const struct ctl *c, int argc, char **argv)
{
	struct stage_table t = {.per_lcore = c->per_lcore};
	struct dpclient dp;
	int status = gather_open(&dp, c), err;

	if (status)
		return status;
	t.list = list_new("stages", stage_columns, c->json);
	err = dpclient_dump(&dp, ST_STAT_STAGE, sizeof(struct st_stat_stage), on_stage, &t);
	for (unsigned int i = 0; i < STAGES_MAX && !err; i++)
		if (*t.sum[i].name)
			add_stage(t.list, &t.sum[i], false);
	list_end(t.list);
	dpclient_close(&dp);
	return gather_status(err, c);
}

static const char *meaning(uint32_t reason)
{
	static const char *const texts[] = {
#define X(name, text) text,
		ST_DROP_REASONS(X)
#undef X
	};

	return reason < ST_DROP_COUNT ? texts[reason] : "";
}

static void add_drop(struct list *l, const struct st_stat_drop *s, bool per_lcore)
{
	cJSON *o = cJSON_CreateObject();

	add_name(o, "reason", s->name, sizeof(s->name));
	if (per_lcore)
		cJSON_AddNumberToObject(o, "lcore", s->lcore);
	list_json_add(o, "packets", s->packets);
	cJSON_AddStringToObject(o, "meaning", meaning(s->reason));
	list_add(l, o);
}

static void on_drop(const void *body, void *arg)
{
	const struct st_stat_drop *s = body;
	struct drop_table *t = arg;

	if (t->per_lcore) {
		if (t->all || s->packets)
			add_drop(t->list, s, true);
	} else if (s->reason < REASONS_MAX) {
		uint64_t packets = t->sum[s->reason].packets + s->packets;

		t->sum[s->reason] = *s;
		t->sum[s->reason].packets = packets;
	}
}

int drops_run(const struct ctl *c, int argc, char **argv)
{
	struct drop_table *t = calloc(1, sizeof(*t));
	struct dpclient dp;
	int status = gather_open(&dp, c), err;

	if (!t)
		abort();
	if (status) {
		free(t);
		return status;
	}
	t->per_lcore = c->per_lcore;
	t->all = c->all;
	t->list = list_new("drops", drop_columns, c->json);
	err = dpclient_dump(&dp, ST_STAT_DROP, sizeof(struct st_stat_drop), on_drop, t);
	for (unsigned int i = 0; i < REASONS_MAX && !err; i++)
		if (*t->sum[i].name && (c->all || t->sum[i].packets))
			add_drop(t->list, &t->sum[i], false);
	list_end(t->list);
	free(t);
	dpclient_close(&dp);
	return gather_status(err, c);
}
