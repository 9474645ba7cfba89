// SPDX-License-Identifier: BSD-3-Clause
//
// Configurations as text, and what their errors have to say: file, place, what was found and what is allowed, and
// never a key.
#pragma once

#include "../../../../control/config/config.h"
#include "../../suite.h"

#include <glib.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRIVATE   "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define PRIVATE_B "mBiFvXa7bWbUyNQJGrAoW1yk6i5yPmpiWY0YkVYZfUU="
#define PUBLIC    "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=" // of PRIVATE
#define PUBLIC_A  "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define PUBLIC_B  "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
#define PSK       "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE="

#define PORT_WAN   "{\"name\":\"wan\",\"driver\":\"null\"}"
#define WG(rest)   "{\"wireguard\":[{\"name\":\"strait0\",\"private_key\":\"" PRIVATE "\"," rest "}]}"
#define PEER(rest) WG("\"peers\":[{\"public_key\":\"" PUBLIC_A "\"," rest "}]")
#define PORT(rest) "{\"ports\":[{\"name\":\"wan\"," rest "}]}"

static char *dir; // of the files of a suite

// The error of a text, or "" when it is fine.
static inline char *error_of(const char *text)
{
	char *error = NULL;
	struct config *c = config_parse("t.json", text, &error);

	if (c) {
		config_free(c);
		CU_ASSERT_PTR_NULL(error);
		return g_strdup("");
	}
	return error ? error : g_strdup("NULL without an error");
}

static inline void expect(const char *text, const char *want)
{
	char *error = error_of(text);
	bool as_wanted = g_str_has_prefix(error, want) && (*want || !*error);

	if (!as_wanted)
		printf("\n  document: %s\n  wanted: %s\n  got:    %s\n", text, want, error);
	CU_ASSERT(as_wanted);
	CU_ASSERT_PTR_NULL(strstr(error, PRIVATE));
	CU_ASSERT_PTR_NULL(strstr(error, PSK));
	g_free(error);
}

static inline char *write_file(const char *name, const char *text, mode_t mode)
{
	char *path = g_build_filename(dir, name, NULL);

	CU_ASSERT_TRUE_FATAL(g_file_set_contents(path, text, -1, NULL));
	CU_ASSERT_EQUAL_FATAL(chmod(path, mode), 0);
	return path;
}

static inline void remove_dir(void)
{
	GDir *d = g_dir_open(dir, 0, NULL);
	const char *name;

	while (d && (name = g_dir_read_name(d))) {
		char *path = g_build_filename(dir, name, NULL);

		unlink(path);
		g_free(path);
	}
	if (d)
		g_dir_close(d);
	rmdir(dir);
	g_free(dir);
}

// main() of a suite.
static inline int run_config_tests(const char *name, CU_TestInfo *tests)
{
	int ret;

	dir = g_dir_make_tmp("strait-config-XXXXXX", NULL);
	if (!dir)
		return 99;
	ret = run_tests(name, tests);
	remove_dir();
	return ret;
}
