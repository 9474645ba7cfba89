// SPDX-License-Identifier: BSD-3-Clause
//
// The strict JSON reader (json.h). Main thread; no files, no logging.
#include "json.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define QUOTE_MAX 80 // bytes of a value that a message shows

// ---- syntax --------------------------------------------------------------------------------------

static void free_wiped(void *p)
{
	if (!p)
		return;
	sodium_memzero(p, malloc_usable_size(p));
	free(p);
}

static char *position_error(
	const char *file, const char *text, size_t at, const char *found, const char *allowed)
{
	unsigned long line = 1, column = 1;
	size_t i;

	for (i = 0; i < at; i++) {
		if (text[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	return g_strdup_printf(
		"%s:%lu:%lu: found %s, allowed: %s", file, line, column, found, allowed);
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Steps over the string that *p begins. cJSON would take line breaks in it, and cut it at a NUL.
static const char *string_skip(char **p)
{
	char *start = *p, *s;

	for (s = start + 1; *s && *s != '"'; s++) {
		*p = s;
		if ((unsigned char)*s < ' ')
			return "a line break or control character in a text";
		if (!strncmp(s, "\\u0000", 6))
			return "\\u0000";
		if (*s == '\\' && !*++s)
			break;
	}
	*p = *s ? s + 1 : start;
	return *s ? NULL : "a text without end";
}

// Blanks the comment that *p begins; offsets stay.
static const char *comment_skip(char **p)
{
	bool line = (*p)[1] == '/';
	char *end = line ? strchrnul(*p, '\n') : strstr(*p + 2, "*/");

	if (!end)
		return "a comment without end";
	for (end += line ? 0 : 2; *p < end; (*p)++) {
		if (**p != '\n')
			**p = ' ';
	}
	return NULL;
}

// What cJSON does not check or know. Returns NULL or what is wrong at *ret_at.
static const char *prepare(char *text, size_t *ret_at)
{
	const char *wrong = NULL;
	char *p = text;

	while (*p && !wrong) {
		if (*p == '"')
			wrong = string_skip(&p);
		else if (*p == '/' && (p[1] == '/' || p[1] == '*'))
			wrong = comment_skip(&p);
		else if (((unsigned char)*p < ' ' && !blank(*p)) || *p == 0x7f)
			wrong = "a control character";
		else
			p++;
	}
	*ret_at = (size_t)(p - text);
	return wrong;
}

// Where cJSON wanted a key and found no string, it reports the character behind.
static size_t offender(const char *text, size_t at)
{
	size_t before;

	if (at && !blank(text[at - 1]) && text[at - 1] != '"') {
		for (before = at - 1; before && blank(text[before - 1]); before--)
			;
		if (before && (text[before - 1] == ',' || text[before - 1] == '{'))
			return at - 1;
	}
	while (blank(text[at]))
		at++;
	return at;
}

static char *syntax_error(const char *file, const char *text, size_t at)
{
	const char *allowed = "JSON (comments are fine, a comma before a closing bracket is not)";
	char found[32];

	at = offender(text, at);
	if (!text[at])
		return position_error(file, text, at, "the end of the file", allowed);
	if (g_ascii_isprint(text[at]))
		g_snprintf(found, sizeof(found), "'%c'", text[at]);
	else
		g_snprintf(found, sizeof(found), "byte 0x%02x", (unsigned char)text[at]);
	return position_error(file, text, at, found, allowed);
}

struct cJSON *json_parse(const char *file, const char *text, char **ret_error)
{
	cJSON_Hooks hooks = {.malloc_fn = malloc, .free_fn = free_wiped};
	const char *bad = NULL, *end = NULL;
	size_t len = strlen(text), at = 0;
	struct cJSON *root = NULL;
	char *copy;

	if (!g_utf8_validate(text, (gssize)len, &bad)) {
		*ret_error = position_error(
			file, text, (size_t)(bad - text), "a byte that is not UTF-8", "UTF-8 text");
		return NULL;
	}
	// Keys pass through cJSON's memory, so all of it is wiped when freed.
	cJSON_InitHooks(&hooks);
	copy = g_strdup(text);
	bad = prepare(copy, &at);
	if (bad) {
		*ret_error = position_error(
			file, text, at, bad, "comments that end with */ and strings without NUL");
	} else {
		root = cJSON_ParseWithOpts(copy, &end, 1);
		if (!root)
			*ret_error = syntax_error(file, copy, end ? (size_t)(end - copy) : 0);
	}
	sodium_memzero(copy, len);
	g_free(copy);
	return root;
}

void json_free(struct cJSON *root)
{
	cJSON_Delete(root);
}

// ---- places and errors ---------------------------------------------------------------------------

struct json_at json_root(struct json_doc *doc, const struct cJSON *root)
{
	return (struct json_at){.doc = doc, .item = root};
}

struct json_at json_member(const struct json_at *at, const char *key)
{
	return (struct json_at){
		.doc = at->doc,
		.up = at,
		.key = key,
		.item = cJSON_GetObjectItemCaseSensitive(at->item, key),
	};
}

struct json_at json_element(const struct json_at *at, const struct cJSON *item, int index)
{
	return (struct json_at){.doc = at->doc, .up = at, .index = index, .item = item};
}

// Text that is safe on a terminal, cut to QUOTE_MAX.
static void append_safe(GString *out, const char *text)
{
	size_t n = 0;

	for (; *text; text++, n++) {
		unsigned char c = (unsigned char)*text;

		if (n >= QUOTE_MAX && (c & 0xc0) != 0x80) {
			g_string_append(out, "...");
			return;
		}
		if (c == '"' || c == '\\')
			g_string_append_c(out, '\\');
		if (c < 0x20 || c == 0x7f)
			g_string_append_printf(out, "\\x%02x", c);
		else
			g_string_append_c(out, (char)c);
	}
}

static void append_path(GString *out, const struct json_at *at)
{
	const char *p;

	if (!at->up) {
		g_string_append_c(out, '$');
		return;
	}
	append_path(out, at->up);
	if (!at->key) {
		g_string_append_printf(out, "[%d]", at->index);
		return;
	}
	for (p = at->key; g_ascii_isalnum(*p) || *p == '_'; p++)
		;
	if (*at->key && !*p) {
		g_string_append_printf(out, ".%s", at->key);
		return;
	}
	g_string_append(out, "[\"");
	append_safe(out, at->key);
	g_string_append(out, "\"]");
}

char *json_path(const struct json_at *at)
{
	GString *out = g_string_new(NULL);

	append_path(out, at);
	return g_string_free(out, FALSE);
}

static void append_found(GString *out, const struct cJSON *item)
{
	if (!item) {
		g_string_append(out, "nothing");
	} else if (cJSON_IsString(item)) {
		g_string_append_c(out, '"');
		append_safe(out, item->valuestring);
		g_string_append_c(out, '"');
	} else if (cJSON_IsNumber(item)) {
		g_string_append_printf(out, "%.15g", item->valuedouble);
	} else if (cJSON_IsBool(item)) {
		g_string_append(out, cJSON_IsTrue(item) ? "true" : "false");
	} else if (cJSON_IsNull(item)) {
		g_string_append(out, "null");
	} else {
		g_string_append(out, cJSON_IsArray(item) ? "a list" : "an object");
	}
}

int json_error(const struct json_at *at, const char *found, const char *allowed, ...)
{
	GString *out;
	va_list ap;

	if (at->doc->error)
		return -EINVAL;
	out = g_string_new(at->doc->file);
	g_string_append(out, ": ");
	append_path(out, at);
	g_string_append(out, ": found ");
	if (found)
		g_string_append(out, found);
	else
		append_found(out, at->item);
	g_string_append(out, ", allowed: ");
	va_start(ap, allowed);
	g_string_append_vprintf(out, allowed, ap);
	va_end(ap);
	at->doc->error = g_string_free(out, FALSE);
	return -EINVAL;
}

// ---- keys ----------------------------------------------------------------------------------------

#define KEY_COMPARE_MAX 40

// Edits (insert, delete, replace) between two words; words too long to compare are far apart.
static unsigned int edit_distance(const char *a, const char *b)
{
	unsigned int row[KEY_COMPARE_MAX + 1], i, j;
	size_t alen = strlen(a), blen = strlen(b);

	if (alen > KEY_COMPARE_MAX || blen > KEY_COMPARE_MAX)
		return KEY_COMPARE_MAX;
	for (j = 0; j <= blen; j++)
		row[j] = j;
	for (i = 1; i <= alen; i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (j = 1; j <= blen; j++) {
			unsigned int replaced = diagonal + (g_ascii_tolower(a[i - 1]) != b[j - 1]);

			diagonal = row[j];
			row[j] = MIN(MIN(row[j], row[j - 1]) + 1, replaced);
		}
	}
	return row[blen];
}

static const char *nearest(const char *key, const char *const *allowed)
{
	unsigned int best = MAX(2, (unsigned int)strlen(key) / 3) + 1, d;
	const char *ret = NULL;

	for (; *allowed; allowed++) {
		d = edit_distance(key, *allowed);
		if (d < best) {
			best = d;
			ret = *allowed;
		}
	}
	return ret;
}

static int unknown_key(const struct json_at *at, const char *key, const char *const *allowed)
{
	struct json_at child = {.doc = at->doc, .up = at, .key = key};
	const char *guess = nearest(key, allowed);
	char *list = g_strjoinv(", ", (char **)allowed);
	GString *found = g_string_new("an unknown key");
	int r;

	if (guess)
		g_string_append_printf(found, " (did you mean \"%s\"?)", guess);
	r = json_error(&child, found->str, "%s", list);
	g_string_free(found, TRUE);
	g_free(list);
	return r;
}

int json_check_keys(const struct json_at *at, const char *const *allowed)
{
	const struct cJSON *item;
	uint64_t seen = 0;

	if (!cJSON_IsObject(at->item))
		return json_error(at, NULL, "an object {...}");
	g_assert(g_strv_length((char **)allowed) <= 64);
	cJSON_ArrayForEach (item, at->item) {
		unsigned int i;

		for (i = 0; allowed[i] && strcmp(allowed[i], item->string); i++)
			;
		if (!allowed[i])
			return unknown_key(at, item->string, allowed);
		if (seen & (1ULL << i)) {
			struct json_at child = {.doc = at->doc, .up = at, .key = item->string};

			return json_error(&child, "this key a second time", "each key once");
		}
		seen |= 1ULL << i;
	}
	return 0;
}

int json_forbid_keys(const struct json_at *at, const char *const *names, const char *why)
{
	const struct cJSON *item;
	int index = 0;

	if (!cJSON_IsObject(at->item) && !cJSON_IsArray(at->item))
		return 0;
	cJSON_ArrayForEach (item, at->item) {
		struct json_at child = json_element(at, item, index++);
		unsigned int i;
		int r;

		child.key = item->string;
		for (i = 0; item->string && names[i]; i++) {
			if (!g_ascii_strcasecmp(names[i], item->string))
				return json_error(&child, names[i], "%s", why);
		}
		r = json_forbid_keys(&child, names, why);
		if (r)
			return r;
	}
	return 0;
}

// ---- values --------------------------------------------------------------------------------------

int json_check_list(const struct json_at *at, const char *allowed)
{
	return cJSON_IsArray(at->item) ? 0 : json_error(at, NULL, "%s", allowed);
}

int json_read_uint(
	const struct json_at *at, const char *key, uint32_t min, uint32_t max, uint32_t *ret)
{
	struct json_at child = json_member(at, key);
	double d;

	if (!child.item)
		return 0;
	d = cJSON_IsNumber(child.item) ? child.item->valuedouble : -1;
	if (d < min || d > max || d != floor(d))
		return json_error(&child, NULL, "a whole number from %u to %u", min, max);
	*ret = (uint32_t)d;
	return 0;
}

int json_read_u16(const struct json_at *at, const char *key, uint16_t min, uint16_t max, uint16_t *ret)
{
	uint32_t n = *ret;
	int r = json_read_uint(at, key, min, max, &n);

	if (!r)
		*ret = (uint16_t)n;
	return r;
}

int json_read_bool(const struct json_at *at, const char *key, bool *ret)
{
	struct json_at child = json_member(at, key);

	if (!child.item)
		return 0;
	if (!cJSON_IsBool(child.item))
		return json_error(&child, NULL, "true or false");
	*ret = cJSON_IsTrue(child.item);
	return 0;
}

int json_text(const struct json_at *at, const char *allowed, const char **ret)
{
	if (!cJSON_IsString(at->item) || !at->item->valuestring[0])
		return json_error(at, NULL, "%s", allowed);
	*ret = at->item->valuestring;
	return 0;
}

int json_read_text(const struct json_at *at, const char *key, const char *allowed, const char **ret)
{
	struct json_at child = json_member(at, key);

	return child.item ? json_text(&child, allowed, ret) : 0;
}

int json_read_choice(
	const struct json_at *at, const char *key, const char *const *choices, unsigned int *ret)
{
	struct json_at child = json_member(at, key);
	const char *text = NULL;
	unsigned int i;
	char *list;
	int r;

	if (!child.item)
		return 0;
	list = g_strjoinv(", ", (char **)choices);
	r = json_text(&child, list, &text);
	for (i = 0; !r && choices[i] && strcmp(choices[i], text); i++)
		;
	if (!r && !choices[i])
		r = json_error(&child, NULL, "one of %s", list);
	if (!r)
		*ret = i;
	g_free(list);
	return r;
}
