// SPDX-License-Identifier: BSD-3-Clause
//
// A strict reader over cJSON: comments, positions of syntax errors, paths of all other errors, unknown
// and double keys. Values of the document are secret until shown otherwise: memory that held them is
// wiped, and a message quotes a value only where the caller did not say that it is a key.
#pragma once

#include <glib.h>

#include <stdbool.h>
#include <stdint.h>

struct cJSON;

// One document being read; the first error is kept.
struct json_doc {
	const char *file;
	char *error;
};

// A place in the document. Lives on the stack of its reader, chained to the places above.
struct json_at {
	struct json_doc *doc;
	const struct json_at *up;
	const char *key; // NULL: element of a list
	int index;
	const struct cJSON *item; // NULL: not there
};

// Parses; NULL with *ret_error "FILE:LINE:COLUMN: found ..., allowed: ...".
struct cJSON *json_parse(const char *file, const char *text, char **ret_error);
void json_free(struct cJSON *root); // wipes

struct json_at json_root(struct json_doc *doc, const struct cJSON *root);
struct json_at json_member(const struct json_at *at, const char *key); // item NULL when absent
struct json_at json_element(const struct json_at *at, const struct cJSON *item, int index);
char *json_path(const struct json_at *at); // "$.ports[0].name", g_free

// All of these return 0 or -EINVAL with the error set. found NULL: the value itself is quoted.
int json_error(const struct json_at *at, const char *found, const char *allowed, ...)
	__attribute__((format(printf, 3, 4)));
// at is an object and its keys are among allowed (NULL-terminated), each at most once.
int json_check_keys(const struct json_at *at, const char *const *allowed);
// No key anywhere below may be one of these (case ignored); why says what is allowed instead.
int json_forbid_keys(const struct json_at *at, const char *const *names, const char *why);
int json_check_list(const struct json_at *at, const char *allowed);

// Members of the object at; an absent one leaves *ret as it is.
int json_read_uint(
	const struct json_at *at, const char *key, uint32_t min, uint32_t max, uint32_t *ret);
int json_read_u16(
	const struct json_at *at, const char *key, uint16_t min, uint16_t max, uint16_t *ret);
int json_read_bool(const struct json_at *at, const char *key, bool *ret);
// *ret points into the document.
int json_read_text(const struct json_at *at, const char *key, const char *allowed, const char **ret);
int json_read_choice(
	const struct json_at *at, const char *key, const char *const *choices, unsigned int *ret);
// at itself is a string, or the error says allowed.
int json_text(const struct json_at *at, const char *allowed, const char **ret);
