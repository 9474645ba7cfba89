// SPDX-License-Identifier: BSD-3-Clause
//
// options.c: each option, what it takes, and what is said when it is given something else.
#include "../suite.h"
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGS_MAX 80

static struct options got;
static char said[8192]; // on stderr and stdout

// Runs options_parse over words that are separated by blanks.
static int parse(const char *line)
{
	static char words[4096];
	char *argv[ARGS_MAX] = {"strait-dp"}, *save = NULL;
	int argc = 1, out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), rc;
	FILE *f = tmpfile();
	size_t n;

	snprintf(words, sizeof(words), "%s", line);
	for (char *w = strtok_r(words, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	fflush(stdout);
	fflush(stderr);
	dup2(fileno(f), STDOUT_FILENO);
	dup2(fileno(f), STDERR_FILENO);
	optind = 0; // as if it were the first call
	rc = options_parse(argc, argv, &got);
	fflush(stdout);
	fflush(stderr);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	rewind(f);
	n = fread(said, 1, sizeof(said) - 1, f);
	said[n] = '\0';
	fclose(f);
	return rc;
}

// Refused, with these very words.
static void refused(const char *line, const char *words)
{
	char expected[512];

	snprintf(expected, sizeof(expected), "strait-dp: %s\n", words);
	CU_ASSERT_EQUAL(parse(line), -EINVAL);
	if (strcmp(said, expected) != 0)
		fprintf(stderr, "%s\n  said     %s  expected %s", line, said, expected);
	CU_ASSERT_STRING_EQUAL(said, expected);
}

static void without_options_there_are_defaults(void)
{
	CU_ASSERT_EQUAL(parse(""), 0);
	CU_ASSERT_STRING_EQUAL(said, "");
	CU_ASSERT_STRING_EQUAL(got.run_dir, "/run/strait");
	CU_ASSERT(got.nb_cpus == 1 && got.cpus[0] == 0 && got.main_cpu == -1);
	CU_ASSERT_EQUAL(got.hugepages, HUGEPAGES_AUTO);
	CU_ASSERT(got.memory_mb == 256 && got.packets == 0 && got.turn_channels == 65536);
	CU_ASSERT_TRUE(got.adaptive);
	CU_ASSERT_STRING_EQUAL(got.aead, "auto");
	CU_ASSERT(got.file_prefix == NULL && got.user == NULL && got.nb_pci == 0 && !got.mlock);
	CU_ASSERT(got.gid == (uint32_t)-1 && got.control_uid == (uint32_t)-1);
	CU_ASSERT_EQUAL(got.log_level, LOG_LEVEL_INFO);
}

static void each_option_is_taken(void)
{
	CU_ASSERT_EQUAL(
		parse("--run-dir /run/x --lcores 2-4,7,7 --main-cpu 3 --hugepages yes --memory "
		      "512 --packets 4096 --turn-channels 7 --idle poll --aead sodium --group "
		      "root --user root --control-user root --pci 0000:03:00.0 --pci "
		      "0000:03:00.1 --mlock --file-prefix mine --log-level debug"),
		0);
	CU_ASSERT_STRING_EQUAL(said, "");
	CU_ASSERT_STRING_EQUAL(got.run_dir, "/run/x");
	CU_ASSERT_EQUAL_FATAL(got.nb_cpus, 5);
	CU_ASSERT(got.cpus[0] == 2 && got.cpus[2] == 4 && got.cpus[3] == 7 && got.cpus[4] == 7);
	CU_ASSERT_EQUAL(got.main_cpu, 3);
	CU_ASSERT_EQUAL(got.hugepages, HUGEPAGES_YES);
	CU_ASSERT(got.memory_mb == 512 && got.packets == 4096 && got.turn_channels == 7);
	CU_ASSERT_FALSE(got.adaptive);
	CU_ASSERT_STRING_EQUAL(got.aead, "sodium");
	CU_ASSERT(got.gid == 0 && got.uid == 0 && got.user_gid == 0 && got.control_uid == 0);
	CU_ASSERT_STRING_EQUAL(got.user, "root");
	CU_ASSERT_EQUAL_FATAL(got.nb_pci, 2);
	CU_ASSERT_STRING_EQUAL(got.pci[1], "0000:03:00.1");
	CU_ASSERT_TRUE(got.mlock);
	CU_ASSERT_STRING_EQUAL(got.file_prefix, "mine");
	CU_ASSERT_EQUAL(got.log_level, LOG_LEVEL_DEBUG);
	CU_ASSERT_EQUAL(parse("--main-cpu -1 --packets 0 --hugepages no --idle adaptive"), 0);
	CU_ASSERT(got.main_cpu == -1 && got.packets == 0 && got.hugepages == HUGEPAGES_NO);
	CU_ASSERT_TRUE(got.adaptive);
}

static void numbers_have_bounds(void)
{
	static const struct {
		const char *option, *lo, *hi, *below, *above, *text;
	} table[] = {
		{"memory", "64", "1048576", "63", "1048577", "a number from 64 to 1048576"},
		{"packets", "2048", "16777216", "2047", "16777217", "a number from 2048 to 16777216"},
		{"turn-channels", "1", "16777216", "0", "16777217", "a number from 1 to 16777216"},
		{"main-cpu", "0", "1023", "-2", "1024", "a number from 0 to 1023"},
	};
	static const char *const junk[] = {"x", "12x", "-5", "99999999999999999999", "1.5"};

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char line[128], words[256];
		const char *bad[7] = {table[i].below, table[i].above};

		snprintf(line, sizeof(line), "--%s %s", table[i].option, table[i].lo);
		CU_ASSERT_EQUAL(parse(line), 0);
		snprintf(line, sizeof(line), "--%s %s", table[i].option, table[i].hi);
		CU_ASSERT_EQUAL(parse(line), 0);
		memcpy(bad + 2, junk, sizeof(junk));
		for (unsigned int k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
			snprintf(line, sizeof(line), "--%s %s", table[i].option, bad[k]);
			snprintf(words, sizeof(words), "--%s: found \"%s\", allowed: %s",
				table[i].option, bad[k], table[i].text);
			refused(line, words);
		}
	}
}

static void lcores_are_lists_and_ranges(void)
{
	static const char *const bad[] = {
		"x", "1,", ",1", "2-", "-2", "5-2", "1024", "1;2", "1-x", "0-64", "1--2"};

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char line[64], words[256];

		snprintf(line, sizeof(line), "--lcores %s", bad[i]);
		snprintf(words, sizeof(words),
			"--lcores: found \"%s\", allowed: CPU numbers and ranges such as 2-5,8, at "
			"most 64 lcores",
			bad[i]);
		refused(line, words);
	}
	CU_ASSERT_EQUAL(parse("--lcores 0-63"), 0);
	CU_ASSERT_EQUAL(got.nb_cpus, 64);
	CU_ASSERT_EQUAL(parse("--lcores 1023"), 0);
}

static void words_that_are_not_known_are_named_with_those_that_are(void)
{
	refused("--hugepages maybe", "--hugepages: found \"maybe\", allowed: auto, yes, no");
	refused("--idle sleep", "--idle: found \"sleep\", allowed: adaptive, poll");
	refused("--log-level loud",
		"--log-level: found \"loud\", allowed: error, warning, info, debug");
	refused("--user nobody-of-this-name",
		"--user: found \"nobody-of-this-name\", allowed: a user of this machine");
	refused("--control-user nobody-of-this-name",
		"--control-user: found \"nobody-of-this-name\", allowed: a user of this machine");
	CU_ASSERT_EQUAL(parse("--aead rot13"), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(said, "--aead: found \"rot13\", allowed: auto, "));
	CU_ASSERT_PTR_NOT_NULL(strstr(said, "sodium"));
}

static void a_group_that_is_not_there_leaves_the_socket_to_root(void)
{
	CU_ASSERT_EQUAL(parse("--group nobody-of-this-name"), 0);
	CU_ASSERT_EQUAL(got.gid, (uint32_t)-1);
	CU_ASSERT_PTR_NOT_NULL(strstr(said, "no group \"nobody-of-this-name\" here"));
}

static void paths_and_devices_have_a_cap(void)
{
	char line[4096] = "--run-dir /";

	memset(line + strlen(line), 'x', 88);
	CU_ASSERT_EQUAL(parse(line), 0); // 89
	strcat(line, "x");
	CU_ASSERT_EQUAL(parse(line), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(said, "allowed: a path of less than 90 characters"));
	line[0] = '\0';
	for (int i = 0; i < OPTIONS_PCI_MAX; i++)
		strcat(line, " --pci 03:00.0");
	CU_ASSERT_EQUAL(parse(line), 0);
	CU_ASSERT_EQUAL(got.nb_pci, OPTIONS_PCI_MAX);
	strcat(line, " --pci 03:00.0");
	refused(line, "--pci: found \"03:00.0\", allowed: at most 32 addresses");
}

static void what_is_no_option_is_refused(void)
{
	CU_ASSERT_EQUAL(parse("--nonsense"), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(said, "strait-dp: see --help\n"));
	CU_ASSERT_EQUAL(parse("--memory"), -EINVAL); // its value is missing
	CU_ASSERT_PTR_NOT_NULL(strstr(said, "strait-dp: see --help\n"));
	refused("file.json", "found \"file.json\", allowed: options only, see --help");
}

static void help_names_each_option(void)
{
	static const char *const options[] = {"run-dir", "lcores", "main-cpu", "hugepages",
		"memory", "packets", "turn-channels", "idle", "aead", "group", "user",
		"control-user", "pci", "mlock", "file-prefix", "log-level", "help", "version"};

	CU_ASSERT_EQUAL(parse("--help"), 1);
	for (unsigned int i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		char text[32];

		snprintf(text, sizeof(text), "--%s", options[i]);
		CU_ASSERT_PTR_NOT_NULL(strstr(said, text));
	}
	CU_ASSERT_EQUAL(parse("--version"), 1);
	CU_ASSERT_STRING_EQUAL(said, "strait-dp " STRAIT_VERSION "\n");
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"without options there are defaults", without_options_there_are_defaults},
		{"each option is taken", each_option_is_taken},
		{"numbers have bounds", numbers_have_bounds},
		{"lcores are lists and ranges", lcores_are_lists_and_ranges},
		{"words that are not known are named with those that are",
			words_that_are_not_known_are_named_with_those_that_are},
		{"a group that is not there leaves the socket to root",
			a_group_that_is_not_there_leaves_the_socket_to_root},
		{"paths and devices have a cap", paths_and_devices_have_a_cap},
		{"what is no option is refused", what_is_no_option_is_refused},
		{"help names each option", help_names_each_option},
		CU_TEST_INFO_NULL,
	};

	return run_tests("options", tests);
}
