// SPDX-License-Identifier: BSD-3-Clause
//
// control/ctl: figures, tables, the table of verbs, and the program itself: exit statuses, completion and
// the man page, run as a user runs them. MAN_PAGE and STRAITCTL come from the build.
#include "../../../../control/ctl/connections.h"
#include "../../../../control/ctl/ctl.h"
#include "../../../../control/ctl/human.h"
#include "../../../../control/ctl/list.h"
#include "../../../../control/ctl/pcapng.h"
#include "../../../../control/ctl/summary.h"
#include "../../suite.h"

#include <cjson/cJSON.h>
#include <glib.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir; // an empty run directory

// Output of "straitctl ARGS", stdout and stderr apart (g_free both), and its exit status.
static int run(const char *args, char **ret_out, char **ret_err)
{
	char *line = g_strdup_printf("%s --run-dir %s %s", STRAITCTL, dir, args);
	int status = 0;
	bool ok = g_spawn_command_line_sync(line, ret_out, ret_err, &status, NULL);

	g_free(line);
	CU_ASSERT_FATAL(ok);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_run(const char *args, int want, const char *in_out, const char *in_err)
{
	char *out = NULL, *err = NULL;
	int status = run(args, &out, &err);

	if (status != want || (in_out && !strstr(out, in_out)) || (in_err && !strstr(err, in_err)))
		g_printerr("\nstraitctl %s: status %d\n%s%s", args, status, out, err);
	CU_ASSERT_EQUAL(status, want);
	if (in_out)
		CU_ASSERT_PTR_NOT_NULL(strstr(out, in_out));
	if (in_err)
		CU_ASSERT_PTR_NOT_NULL(strstr(err, in_err));
	g_free(out);
	g_free(err);
}

static void bytes_have_binary_units(void)
{
	static const struct {
		uint64_t n;
		const char *text;
	} cases[] = {
		{0, "0 B"},
		{1023, "1023 B"},
		{1024, "1.00 KiB"},
		{1536, "1.50 KiB"},
		{1048575, "1.00 MiB"},
		{1048576, "1.00 MiB"},
		{5ull << 40, "5.00 TiB"},
		{UINT64_MAX, "16.00 EiB"},
	};
	char out[HUMAN_MAX];

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		CU_ASSERT_STRING_EQUAL(human_bytes(out, cases[i].n), cases[i].text);
}

static void times_have_two_units(void)
{
	char out[HUMAN_MAX];

	CU_ASSERT_STRING_EQUAL(human_span(out, 0), "0 s");
	CU_ASSERT_STRING_EQUAL(human_span(out, 59), "59 s");
	CU_ASSERT_STRING_EQUAL(human_span(out, 60), "1 min 0 s");
	CU_ASSERT_STRING_EQUAL(human_span(out, 3599), "59 min 59 s");
	CU_ASSERT_STRING_EQUAL(human_span(out, 3600), "1 h 0 min");
	CU_ASSERT_STRING_EQUAL(human_span(out, 90061), "1 d 1 h");
}

// What is printed between the two, as a string (g_free).
static int stdout_take(void)
{
	g_autofree char *name = g_strdup_printf("%s/out", dir);
	int saved = dup(STDOUT_FILENO);

	fflush(stdout);
	CU_ASSERT_FATAL(freopen(name, "w", stdout) != NULL);
	return saved;
}

static char *stdout_give_back(int saved)
{
	g_autofree char *name = g_strdup_printf("%s/out", dir);
	char *text = NULL;

	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	CU_ASSERT_FATAL(g_file_get_contents(name, &text, NULL, NULL));
	unlink(name);
	return text;
}

static char *printed(const struct list_column *columns, const char *rows, bool json)
{
	cJSON *array = cJSON_Parse(rows);
	int saved = stdout_take();
	struct list *l;

	l = list_new("things", columns, json);
	while (array && array->child)
		list_add(l, cJSON_DetachItemViaPointer(array, array->child));
	list_end(l);
	cJSON_Delete(array);
	return stdout_give_back(saved);
}

static const struct list_column columns[] = {
	{"NAME", "name", false, NULL},
	{"COUNT", "count", true, NULL},
	{"SIZE", "size", true, human_format_bytes},
	{"NOTE", "note", false, NULL},
	{NULL, NULL, false, NULL},
};

static void a_table_has_aligned_columns_and_no_trailing_blanks(void)
{
	char *text = printed(columns,
		"[{\"name\":\"a\",\"count\":5,\"size\":2048,\"note\":\"x\"},"
		"{\"name\":\"l\xc3\xa4nger\",\"count\":12345},"
		"{\"name\":\"es\\u001bc\",\"count\":1,\"note\":\"\"}]",
		false);

	CU_ASSERT_STRING_EQUAL(text, "NAME    COUNT      SIZE  NOTE\n"
				     "a           5  2.00 KiB  x\n"
				     "l\xc3\xa4nger  12345         -  -\n"
				     "es?c        1         -  -\n");
	g_free(text);
}

static void a_list_in_json_is_one_document_with_exact_numbers(void)
{
	cJSON *row = cJSON_CreateObject(), *array = cJSON_CreateArray(), *doc, *things;
	char *rows, *text;

	list_json_add(row, "count", UINT64_MAX);
	cJSON_AddItemToArray(array, row);
	rows = cJSON_PrintUnformatted(array);
	CU_ASSERT_PTR_NOT_NULL(strstr(rows, "18446744073709551615"));
	text = printed(columns, "[{\"name\":\"a\"},{\"name\":\"b\"}]", true);
	doc = cJSON_Parse(text);
	things = cJSON_GetObjectItem(doc, "things");
	CU_ASSERT_EQUAL(cJSON_GetArraySize(things), 2);
	cJSON_Delete(doc);
	g_free(text);
	text = printed(columns, "[]", true);
	doc = cJSON_Parse(text);
	CU_ASSERT(cJSON_IsArray(cJSON_GetObjectItem(doc, "things")));
	cJSON_Delete(doc);
	g_free(text);
	cJSON_free(rows);
	cJSON_Delete(array);
}

// Of a peer with a direct pair and a relay that has not been heard yet.
static void a_connection_is_told_in_words(void)
{
	static const char ice[] =
		"{\"state\":\"connected\",\"phase\":\"settled\",\"role\":\"controlling\","
		"\"path\":{\"relayed\":false,\"alive\":true,\"local_type\":\"host\","
		"\"local\":\"192.0.2.1:51820\",\"remote_type\":\"srflx\",\"remote\":\"203.0.113.9:"
		"7\","
		"\"rtt_us\":1500,\"stun_age_ms\":2300,\"age_s\":60},"
		"\"standby\":{\"relayed\":true,\"alive\":true,\"local_type\":\"relay\","
		"\"local\":\"203.0.113.1:50000\",\"remote_type\":\"srflx\","
		"\"remote\":\"203.0.113.9:7\",\"relay_server\":\"203.0.113.1:3478\","
		"\"rtt_us\":0,\"stun_age_ms\":null,\"age_s\":1},"
		"\"path_changes\":2,\"attempts\":3,"
		"\"bytes\":{\"rx_direct\":10,\"tx_direct\":20,\"rx_relayed\":30,\"tx_relayed\":40},"
		"\"seconds_in\":{\"checking\":1.5,\"settled\":60},\"last_offer_ms\":12,"
		"\"last_check_ms\":34,\"last_failure\":\"no pair of candidates works\"}";
	cJSON *o = cJSON_Parse(ice);
	int saved = stdout_take();
	char *text;

	connections_print(o);
	text = stdout_give_back(saved);
	CU_ASSERT_STRING_EQUAL(text,
		"\nICE\n"
		"  state              connected (settled), controlling\n"
		"  path               direct, host 192.0.2.1:51820 > srflx 203.0.113.9:7\n"
		"    round trip       1.5 ms, STUN heard 2.3 s ago, since 60 s\n"
		"  stands by          relayed, relay 203.0.113.1:50000 > srflx 203.0.113.9:7\n"
		"    through          203.0.113.1:3478\n"
		"    round trip       0.0 ms, never heard, since 1 s\n"
		"  path changes       2, 3 attempts\n"
		"  bytes              direct 10 in, 20 out; relayed 30 in, 40 out\n"
		"  last attempt       offer 12 ms, checks 34 ms\n"
		"  seconds in         checking 1.5 settled 60.0\n"
		"  last failure       no pair of candidates works\n");
	g_free(text);
	cJSON_Delete(o);
}

static void a_slip_of_the_fingers_gets_a_suggestion(void)
{
	static const char *const cases[][2] = {
		{"stauts", "status"},
		{"peeer", "peer"},
		{"neighbors", "neighbours"},
		{"config", "config check"},
		{"relaod", "reload"},
		{"cap", "capture"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		const char *got = ctl_suggest(cases[i][0]);

		CU_ASSERT_PTR_NOT_NULL_FATAL(got);
		CU_ASSERT_STRING_EQUAL(got, cases[i][1]);
	}
	CU_ASSERT_PTR_NULL(ctl_suggest("quite-another-thing"));
	CU_ASSERT_PTR_NULL(ctl_suggest("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"));
}

static void a_packet_is_told_from_its_first_bytes_and_no_further(void)
{
	uint8_t p[64] = {0};
	char out[SUMMARY_MAX];
	static const uint8_t ip[] = {0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0,
		0, 2, 0x13, 0x88, 0xca, 0x6c, 0, 40, 0, 0, 4, 0, 0, 0};

	memcpy(p + 14, ip, sizeof(ip));
	p[12] = 8;
	CU_ASSERT_STRING_EQUAL(summary_text(out, p, 14 + sizeof(ip)),
		"10.0.0.1 > 10.0.0.2 udp 5000 > 51820 WireGuard data");
	CU_ASSERT_STRING_EQUAL(summary_text(out, ip, sizeof(ip)),
		"10.0.0.1 > 10.0.0.2 udp 5000 > 51820 "
		"WireGuard data");
	CU_ASSERT_STRING_EQUAL(summary_text(out, p, 14 + 20), "10.0.0.1 > 10.0.0.2 udp");
	CU_ASSERT_STRING_EQUAL(summary_text(out, p, 14 + 19), "ethertype 0800");
	CU_ASSERT_STRING_EQUAL(summary_text(out, p, 3), "short frame");
	CU_ASSERT_STRING_EQUAL(summary_text(out, p, 0), "short frame");
}

// A section, an interface and two packets, of which one was cut to four bytes.
static void packets_and_bytes_of_a_capture_are_counted(void)
{
	static const uint32_t blocks[] = {0x0a0d0d0a, 28, 0x1a2b3c4d, 1, ~0u, ~0u, 28, // section
		1, 20, 1, 0, 20,                                                       // interface
		6, 36, 0, 0, 0, 4, 1500, 0xabcdef01, 36,                               // packets
		6, 40, 0, 0, 0, 7, 7, 0, 0, 40};
	struct pcapng_count n;
	FILE *f = tmpfile();
	int fd = fileno(f);

	CU_ASSERT_EQUAL(pcapng_count(fd, &n), 0);
	CU_ASSERT_EQUAL(n.packets, 0);
	CU_ASSERT_EQUAL_FATAL(write(fd, blocks, sizeof(blocks)), (ssize_t)sizeof(blocks));
	CU_ASSERT_EQUAL(pcapng_count(fd, &n), 0);
	CU_ASSERT_EQUAL(n.packets, 2);
	CU_ASSERT_EQUAL(n.bytes, 11);
	CU_ASSERT_EQUAL(n.original_bytes, 1507);
	for (off_t cut = sizeof(blocks) - 39; cut < (off_t)sizeof(blocks); cut++) {
		CU_ASSERT_EQUAL(ftruncate(fd, cut), 0);
		CU_ASSERT_EQUAL(pcapng_count(fd, &n), -EBADMSG);
		CU_ASSERT_EQUAL(pwrite(fd, blocks, sizeof(blocks), 0), (ssize_t)sizeof(blocks));
	}
	CU_ASSERT_EQUAL(pwrite(fd, "no pcapng at all", 16, 0), 16);
	CU_ASSERT_EQUAL(pcapng_count(fd, &n), -EBADMSG);
	fclose(f);
}

static void check_import(const char *range, const char *prefixes)
{
	char *file = g_build_filename(dir, "turnserver.conf", NULL);
	char *text = g_strdup_printf("denied-peer-ip=%s\n", range);
	char *args = g_strdup_printf("import %s", file), *out = NULL, *err = NULL, *got;
	cJSON *doc;

	CU_ASSERT_TRUE_FATAL(g_file_set_contents(file, text, -1, NULL));
	CU_ASSERT_EQUAL(run(args, &out, &err), CTL_OK);
	doc = cJSON_Parse(out);
	got = cJSON_PrintUnformatted(
		cJSON_GetObjectItem(cJSON_GetObjectItem(doc, "turn"), "deny_peers"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(got);
	CU_ASSERT_STRING_EQUAL(got, prefixes);
	cJSON_free(got);
	cJSON_Delete(doc);
	unlink(file);
	g_free(out);
	g_free(err);
	g_free(args);
	g_free(text);
	g_free(file);
}

static void a_range_of_addresses_becomes_the_fewest_prefixes(void)
{
	check_import("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "[\"::/0\"]");
	check_import("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"[\"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128\"]");
	check_import("8000::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "[\"8000::/1\"]");
	check_import("0.0.0.0-255.255.255.255", "[\"0.0.0.0/0\"]");
	check_import("10.0.0.1-10.0.0.6",
		"[\"10.0.0.1/32\",\"10.0.0.2/31\",\"10.0.0.4/31\",\"10.0.0.6/32\"]");
}

static void exit_statuses_are_those_of_the_manual(void)
{
	check_run("", CTL_USAGE, "usage: straitctl", NULL);
	check_run("--help", CTL_OK, "exit status", NULL);
	check_run("trace --help", CTL_OK, "--one-in", NULL);
	check_run("stauts", CTL_USAGE, NULL, "Did you mean \"straitctl status\"?");
	check_run("turn", CTL_USAGE, "turn sessions", NULL);
	check_run("turn --help", CTL_OK, "turn drain [on|off]", NULL);
	check_run("turn nonsense", CTL_USAGE, NULL, "no such verb: turn nonsense");
	check_run("turn sesions", CTL_USAGE, NULL, "Did you mean \"straitctl turn sessions\"?");
	check_run("status extra", CTL_USAGE, NULL, "usage: straitctl status");
	check_run("capture", CTL_USAGE, NULL, "usage: straitctl capture");
	check_run("capture --json lan", CTL_USAGE, NULL, "give -w FILE");
	check_run("capture --json lan -w -", CTL_USAGE, NULL, "give -w FILE");
	check_run("status --count 3", CTL_USAGE, NULL, "does not take --count");
	check_run("trace --count x", CTL_USAGE, NULL, "a number");
	check_run("trace --count -1", CTL_USAGE, NULL, "a number");
	check_run("--nonsense status", CTL_USAGE, NULL, "nonsense");
	check_run("completion fish", CTL_USAGE, NULL, "bash or zsh");
	check_run("config check /nonexistent", CTL_FAILED, NULL, "/nonexistent");
	check_run("config check --json /nonexistent", CTL_FAILED, "\"good\":false", NULL);
	check_run("version", CTL_OK, "straitctl ", NULL);
}

static void a_daemon_that_is_away_is_named_with_the_remedy(void)
{
	static const char *const dp_verbs[] = {
		"stages", "drops", "routes", "neighbours", "trace", "capture lan -w /dev/null"};

	for (size_t i = 0; i < G_N_ELEMENTS(dp_verbs); i++)
		check_run(dp_verbs[i], CTL_AWAY, NULL, "strait-dp is not running: no ");
	check_run("reload", CTL_AWAY, NULL, "straitd is not running: no ");
	check_run("log-level", CTL_AWAY, NULL, "./run gateway FILE");
	check_run("peers", CTL_AWAY, NULL, "straitd is not running");
	check_run("ports", CTL_AWAY, NULL, "strait-dp is not running");
	check_run("status", CTL_AWAY, "straitd    away", NULL);
	check_run("status --json", CTL_AWAY, "\"straitd\":\tnull", NULL);
}

static void completion_knows_every_verb_and_option_and_is_valid_shell(void)
{
	char *out = NULL, *zsh = NULL, *err = NULL, *name, *check;
	int status = 1;

	CU_ASSERT_EQUAL(run("completion bash", &out, &err), 0);
	g_free(err);
	CU_ASSERT_EQUAL(run("completion zsh", &zsh, &err), 0);
	g_free(err);
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
		char **words = g_strsplit(v->name, " ", 2);

		for (char **w = words; *w; w++) {
			CU_ASSERT_PTR_NOT_NULL(strstr(out, *w));
			CU_ASSERT_PTR_NOT_NULL(strstr(zsh, *w));
		}
		g_strfreev(words);
	}
	for (const struct ctl_option *o = ctl_options; o->name; o++) {
		char *option = g_strconcat("--", o->name, NULL);

		CU_ASSERT_PTR_NOT_NULL(strstr(out, option));
		CU_ASSERT_PTR_NOT_NULL(strstr(zsh, option));
		g_free(option);
	}
	// And bash completes with it.
	name = g_strdup_printf("%s/completion", dir);
	g_file_set_contents(name, out, -1, NULL);
	check = g_strdup_printf("bash -c '. %s; COMP_WORDS=(straitctl config \"\"); COMP_CWORD=2; "
				"_straitctl; echo \"${COMPREPLY[*]}\"; COMP_WORDS=(straitctl nei); "
				"COMP_CWORD=1; _straitctl; echo \"${COMPREPLY[*]}\"'",
		name);
	g_free(out);
	CU_ASSERT(g_spawn_command_line_sync(check, &out, &err, &status, NULL));
	CU_ASSERT_STRING_EQUAL(out, "check dp-args\nneighbours\n");
	CU_ASSERT_STRING_EQUAL(err, "");
	unlink(name);
	g_free(name);
	g_free(check);
	g_free(out);
	g_free(err);
	g_free(zsh);
}

static void the_man_page_mentions_every_verb_and_option(void)
{
	char *text = NULL;

	CU_ASSERT_FATAL(g_file_get_contents(MAN_PAGE, &text, NULL, NULL));
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
		char *marked = g_strdup_printf("*%s*", v->name);

		if (!strstr(text, marked))
			g_printerr("\nnot in the man page: %s\n", marked);
		CU_ASSERT_PTR_NOT_NULL(strstr(text, marked));
		g_free(marked);
	}
	for (const struct ctl_option *o = ctl_options; o->name; o++) {
		char *marked = g_strdup_printf("--%s*", o->name);

		CU_ASSERT_PTR_NOT_NULL(strstr(text, marked));
		g_free(marked);
	}
	g_free(text);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"bytes_have_binary_units", bytes_have_binary_units},
		{"times_have_two_units", times_have_two_units},
		{"a_table_has_aligned_columns_and_no_trailing_blanks",
			a_table_has_aligned_columns_and_no_trailing_blanks},
		{"a_list_in_json_is_one_document_with_exact_numbers",
			a_list_in_json_is_one_document_with_exact_numbers},
		{"a_slip_of_the_fingers_gets_a_suggestion", a_slip_of_the_fingers_gets_a_suggestion},
		{"a_connection_is_told_in_words", a_connection_is_told_in_words},
		{"a_packet_is_told_from_its_first_bytes_and_no_further",
			a_packet_is_told_from_its_first_bytes_and_no_further},
		TEST(a_range_of_addresses_becomes_the_fewest_prefixes),
		TEST(packets_and_bytes_of_a_capture_are_counted),
		{"exit_statuses_are_those_of_the_manual", exit_statuses_are_those_of_the_manual},
		{"a_daemon_that_is_away_is_named_with_the_remedy",
			a_daemon_that_is_away_is_named_with_the_remedy},
		{"completion_knows_every_verb_and_option_and_is_valid_shell",
			completion_knows_every_verb_and_option_and_is_valid_shell},
		{"the_man_page_mentions_every_verb_and_option",
			the_man_page_mentions_every_verb_and_option},
		CU_TEST_INFO_NULL,
	};
	int ret;

	dir = g_dir_make_tmp("strait-test-XXXXXX", NULL);
	ret = run_tests("ctl", tests);
	rmdir(dir);
	g_free(dir);
	return ret;
}
