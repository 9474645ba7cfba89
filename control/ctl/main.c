// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl's command line: options, help, dispatch, repetition. The verbs are in files of their own.
#include "ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OPTIONS_MAX 32

static void print_options(uint32_t bits, bool common)
{
	for (const struct ctl_option *o = ctl_options; o->name; o++) {
		char left[40];

		if (o->bit ? !(o->bit & bits) : !common)
			continue;
		snprintf(left, sizeof(left), "-%c, --%s%s%s", o->letter, o->name,
			o->value ? " " : "", o->value ? o->value : "");
		printf("  %-24s %s\n", left, o->text);
	}
}

static void print_verb(const struct ctl_verb *v)
{
	char left[48];

	snprintf(left, sizeof(left), "%s %s", v->name, v->args);
	printf("  %-28s %s\n", left, v->text);
}

// A verb of two words that begins with this one.
static bool is_of_group(const struct ctl_verb *v, const char *word)
{
	size_t n = strlen(word);

	return !strncmp(v->name, word, n) && v->name[n] == ' ';
}

static bool is_group(const char *word)
{
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++)
		if (is_of_group(v, word))
			return true;
	return false;
}

static void print_group(const char *word)
{
	printf("usage: straitctl [options] %s ...\n\n", word);
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++)
		if (is_of_group(v, word))
			print_verb(v);
}

static void print_help(const struct ctl_verb *only)
{
	if (only) {
		printf("usage: straitctl %s%s%s [options]\n\n%s\n\n", only->name,
			*only->args ? " " : "", only->args, only->text);
		print_options(only->options, true);
		return;
	}
	puts("usage: straitctl [options] VERB [arguments]\n");
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++)
		print_verb(v);
	puts("\noptions of every verb:");
	print_options(0, true);
	puts("\nothers (straitctl VERB --help says which verb takes which):");
	print_options(UINT32_MAX, false);
	puts("\nexit status: 0 done, 1 refused or failed, 2 wrong usage, 3 daemon not reachable,\n"
	     "4 one of the daemons is away and the output is not complete");
}

static int parse_number(const char *name, const char *text, uint32_t min, uint32_t *ret)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || !*text || *end || *text == '-' || v < min || v > UINT32_MAX)
		return ctl_error(CTL_USAGE, "--%s: a number from %u to %u is needed, not \"%s\"",
			name, min, UINT32_MAX, text);
	*ret = (uint32_t)v;
	return CTL_OK;
}

static int take_option(struct ctl *c, const struct ctl_option *o, const char *value)
{
	switch (o->letter) {
	case 'j':
		c->json = true;
		break;
	case 'r':
		c->run_dir = value;
		break;
	case 'a':
		c->all = true;
		break;
	case 'p':
		c->per_lcore = true;
		break;
	case 'i':
		c->iface = value;
		break;
	case 'w':
		c->write = value;
		break;
	case 't':
		c->ttl = value;
		break;
	case 'u':
		c->user = value;
		break;
	case 'n':
		return parse_number(o->name, value, 1, &c->watch);
	case 'c':
		return parse_number(o->name, value, 1, &c->count);
	case 'o':
		return parse_number(o->name, value, 1, &c->one_in);
	case 's':
		return parse_number(o->name, value, 0, &c->snaplen);
	}
	return CTL_OK;
}

static const struct ctl_option *option_of(int letter)
{
	for (const struct ctl_option *o = ctl_options; o->name; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

// *ret_used: the bits of what was given; *ret_help: --help was.
static int parse_options(int argc, char **argv, struct ctl *c, uint32_t *ret_used, bool *ret_help)
{
	struct option longs[OPTIONS_MAX] = {0};
	char shorts[2 * OPTIONS_MAX + 1];
	unsigned int n = 0, k = 0;
	int letter;

	for (const struct ctl_option *o = ctl_options; o->name && n < OPTIONS_MAX - 1; o++, n++) {
		longs[n].name = o->name;
		longs[n].has_arg = o->value ? required_argument : no_argument;
		longs[n].val = o->letter;
		shorts[k++] = o->letter;
		if (o->value)
			shorts[k++] = ':';
	}
	shorts[k] = 0;
	while ((letter = getopt_long(argc, argv, shorts, longs, NULL)) >= 0) {
		const struct ctl_option *o = option_of(letter);
		int err;

		if (!o) // getopt has said what
			return CTL_USAGE;
		if (letter == 'h')
			*ret_help = true;
		*ret_used |= o->bit;
		err = take_option(c, o, optarg);
		if (err)
			return err;
	}
	return CTL_OK;
}

static int unknown_verb(const char *typed)
{
	const char *near = ctl_suggest(typed);

	if (near)
		return ctl_error(
			CTL_USAGE, "no such verb: %s. Did you mean \"straitctl %s\"? All are in straitctl --help",
			typed, near);
	return ctl_error(CTL_USAGE, "no such verb: %s. All are in straitctl --help", typed);
}

// What was typed is no verb: the first word of some, or a slip.
static int without_verb(int argc, char **argv, bool help)
{
	char two[64];

	snprintf(two, sizeof(two), "%s%s%s", argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
	if (argc == 1 && is_group(argv[0])) {
		print_group(argv[0]);
		return help ? CTL_OK : CTL_USAGE;
	}
	if (is_group(argv[0]) && !ctl_suggest(two))
		return ctl_error(
			CTL_USAGE, "no such verb: %s. See straitctl %s --help", two, argv[0]);
	return unknown_verb(ctl_suggest(two) || !ctl_suggest(argv[0]) ? two : argv[0]);
}

static int check_usage(const struct ctl_verb *v, uint32_t used, unsigned int nargs)
{
	for (const struct ctl_option *o = ctl_options; o->name; o++)
		if (o->bit && (used & o->bit) && !(v->options & o->bit))
			return ctl_error(CTL_USAGE,
				"%s does not take --%s; it takes: see straitctl %s "
				"--help",
				v->name, o->name, v->name);
	if (nargs < v->args_min || nargs > v->args_max)
		return ctl_error(CTL_USAGE, "usage: straitctl %s%s%s", v->name, *v->args ? " " : "",
			v->args);
	return CTL_OK;
}

static int run_watched(struct ctl *c, const struct ctl_verb *v, int argc, char **argv)
{
	bool tty = isatty(STDOUT_FILENO) && !c->json;
	int status = CTL_OK;

	ctl_catch_signals();
	while (!ctl_stopped()) {
		struct timespec pause = {.tv_sec = c->watch};

		if (tty)
			fputs("\033[H\033[2J", stdout);
		status = v->run(c, argc, argv);
		if (fflush(stdout))
			return ctl_error(CTL_FAILED, "cannot write the output: %s", strerror(errno));
		c->rounds += status == CTL_OK;
		if (status == CTL_DONE)
			return CTL_OK;
		if (status == CTL_USAGE || status == CTL_FAILED)
			break;
		if (!ctl_stopped())
			nanosleep(&pause, NULL); // a signal ends it
		if (!tty && !c->json)
			putchar('\n');
	}
	return status;
}

int main(int argc, char **argv)
{
	struct ctl c = {.run_dir = CTL_DEFAULT_RUN_DIR, .one_in = 1};
	const struct ctl_verb *v;
	uint32_t used = 0;
	bool help = false;
	int words = 0, status = parse_options(argc, argv, &c, &used, &help);

	if (status)
		return status;
	argc -= optind;
	argv += optind;
	if (!argc) {
		print_help(NULL);
		return help ? CTL_OK : CTL_USAGE;
	}
	v = ctl_find(argc, argv, &words);
	if (!v)
		return without_verb(argc, argv, help);
	if (help) {
		print_help(v);
		return CTL_OK;
	}
	status = check_usage(v, used, (unsigned int)(argc - words));
	if (status)
		return status;
	if (c.watch)
		status = run_watched(&c, v, argc - words, argv + words);
	else
		status = v->run(&c, argc - words, argv + words);
	// A full disk or a closed pipe must not look like success.
	if (fflush(stdout) && status == CTL_OK)
		return ctl_error(CTL_FAILED, "cannot write the output: %s", strerror(errno));
	return status;
}
