// SPDX-License-Identifier: BSD-3-Clause
//
// A list of like things, for people as a table and for programs as JSON. Each row is a JSON object; a
// column says which member it shows and how.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;

struct list_column {
	const char *head;
	const char *key; // member of the row
	bool right;      // aligned right, as numbers are
	// NULL: strings and numbers as they are. row is the whole object.
	void (*format)(char *out, size_t size, const struct cJSON *value, const struct cJSON *row);
};

struct list;
// Columns end with a NULL head. With json nothing is kept: rows go out as they come, in
// {"NAME":[...]}.
struct list *list_new(const char *name, const struct list_column *columns, bool json);
void list_add(struct list *l, struct cJSON *row); // takes row
void list_end(struct list *l);                    // prints and frees

// The same for an array that exists already.
void list_print(const struct list_column *columns, const struct cJSON *array);

// Numbers beyond 2^53 stay exact.
void list_json_add(struct cJSON *object, const char *key, uint64_t value);
uint64_t list_json_u64(const struct cJSON *value);
void list_json_print(struct cJSON *document);                            // on one line, and freed
const char *list_json_text(const struct cJSON *object, const char *key); // "" when it is not there
