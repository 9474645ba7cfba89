// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl completion: bash and zsh scripts made from the table of verbs, so that they cannot miss one.
#include "ctl.h"

#include <stdio.h>
#include <string.h>

static size_t first_word(const char *name)
{
	return strcspn(name, " ");
}

// Prints the first words, each once.
static void print_verbs(void)
{
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++)
		if (v == ctl_verbs || first_word(v->name) != first_word(v[-1].name) ||
			strncmp(v->name, v[-1].name, first_word(v->name)))
			printf("%s%.*s", v == ctl_verbs ? "" : " ", (int)first_word(v->name),
				v->name);
}

// Words behind the verb: second words, or what its arguments may be.
static void print_words(const struct ctl_verb *v)
{
	size_t n = first_word(v->name);

	if (!strcmp(v->name, "completion"))
		fputs("bash zsh", stdout);
	else if (!strcmp(v->name, "peer"))
		fputs("candidates reconnect", stdout);
	else if (!strcmp(v->name, "capture"))
		fputs("peer", stdout);
	else if (!strcmp(v->name, "log-level"))
		fputs("error warning notice info debug", stdout);
	for (const struct ctl_verb *w = ctl_verbs; w->name; w++)
		if (v->name[n] && !strncmp(w->name, v->name, n) && w->name[n] == ' ')
			printf("%s ", w->name + n + 1);
}

static void print_options(uint32_t bits)
{
	for (const struct ctl_option *o = ctl_options; o->name; o++)
		if (!o->bit || (o->bit & bits))
			printf("--%s ", o->name);
}

static void print_cases(const char *indent)
{
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
		size_t n = first_word(v->name);

		if (v != ctl_verbs && n == first_word(v[-1].name) && !strncmp(v->name, v[-1].name, n))
			continue;
		printf("%s%.*s) words=\"", indent, (int)n, v->name);
		print_words(v);
		printf("\"; options=\"");
		print_options(v->options);
		printf("\" ;;\n");
	}
}

static void print_bash(void)
{
	puts("# bash completion of straitctl, made by: straitctl completion bash\n"
	     "_straitctl()\n"
	     "{\n"
	     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	     "\tlocal verb= words= options= i\n"
	     "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	     "\t\tcase ${COMP_WORDS[i]} in\n"
	     "\t\t--run-dir | -r | --watch | -n | --iface | -i | --count | -c) ((i++)) ;;\n"
	     "\t\t-*) ;;\n"
	     "\t\t*) verb=${COMP_WORDS[i]}; break ;;\n"
	     "\t\tesac\n"
	     "\tdone\n"
	     "\tcase $prev in\n"
	     "\t--run-dir | -r) COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n"
	     "\t--write | -w | check | dp-args | remove)\n"
	     "\t\tCOMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
	     "\tesac\n"
	     "\tcase $verb in");
	printf("\t'') words=\"");
	print_verbs();
	printf("\"; options=\"");
	print_options(0);
	puts("\" ;;");
	print_cases("\t");
	puts("\tesac\n"
	     "\tif [[ $cur == -* ]]; then\n"
	     "\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
	     "\telse\n"
	     "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	     "\tfi\n"
	     "}\n"
	     "complete -F _straitctl straitctl");
}

static void print_zsh(void)
{
	puts("#compdef straitctl\n"
	     "# zsh completion of straitctl, made by: straitctl completion zsh\n"
	     "_straitctl()\n"
	     "{\n"
	     "\tlocal words_of= options= verb= w\n"
	     "\tfor w in ${words[2,CURRENT-1]}; do\n"
	     "\t\t[[ $w == -* ]] || { verb=$w; break }\n"
	     "\tdone\n"
	     "\tlocal -a verbs\n"
	     "\tverbs=(");
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++)
		printf("\t\t'%.*s:%s'\n", (int)first_word(v->name), v->name, v->text);
	puts("\t)\n"
	     "\tif [[ -z $verb ]]; then\n"
	     "\t\t_describe verb verbs\n"
	     "\t\treturn\n"
	     "\tfi\n"
	     "\tcase $verb in");
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
		size_t n = first_word(v->name);

		if (v != ctl_verbs && n == first_word(v[-1].name) && !strncmp(v->name, v[-1].name, n))
			continue;
		printf("\t%.*s) words_of=\"", (int)n, v->name);
		print_words(v);
		printf("\"; options=\"");
		print_options(v->options);
		puts("\" ;;");
	}
	puts("\tesac\n"
	     "\tif [[ $PREFIX == -* ]]; then\n"
	     "\t\tcompadd -- ${=options}\n"
	     "\telse\n"
	     "\t\tcompadd -- ${=words_of}\n"
	     "\t\t_files\n"
	     "\tfi\n"
	     "}\n"
	     "_straitctl \"$@\"");
}

int completion_run(const struct ctl *c, int argc, char **argv)
{
	if (!strcmp(argv[0], "bash"))
		print_bash();
	else if (!strcmp(argv[0], "zsh"))
		print_zsh();
	else
		return ctl_error(CTL_USAGE, "completion for bash or zsh, not %s", argv[0]);
	return CTL_OK;
}
